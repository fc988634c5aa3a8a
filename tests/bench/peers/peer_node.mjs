/* SPDX-License-Identifier: MIT */
/*
 * The peer: the same work as a small Node service would do it. node:http, raw HMAC, JSON.parse, one
 * decision per call id (in memory, or durable in SQLite with --db FILE), 200, then accept over https with
 * keep-alive. Arguments: API-URL CA-FILE SECRET [--db FILE]. Prints {"port"}.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { DatabaseSync } from 'node:sqlite';

const [apiUrl, caFile, secret, , dbFile] = process.argv.slice(2);
const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
const agent = new https.Agent({ keepAlive: true, ca: caFile && fs.readFileSync(caFile), maxSockets: 128 });
const known = new Set();
let insert = null;
if (dbFile) {
  const db = new DatabaseSync(dbFile);
  db.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE claim (id TEXT PRIMARY KEY, at)');
  insert = db.prepare('INSERT OR IGNORE INTO claim VALUES (?, ?)');
}

const session = JSON.stringify({ type: 'realtime', model: 'gpt-realtime-2.1',
  instructions: 'You answer the telephone. '.repeat(40), audio: { output: { voice: 'marin' } } });

function claim(id) {
  if (insert)
    return insert.run(id, Date.now()).changes === 1;
  const fresh = !known.has(id);
  known.add(id);
  return fresh;
}

function accept(id) {
  if (!apiUrl || apiUrl === '-')
    return;
  const req = https.request(`${apiUrl}/realtime/calls/${id}/accept`, { method: 'POST', agent,
    headers: { authorization: 'Bearer sk-bench', 'content-type': 'application/json',
      'content-length': Buffer.byteLength(session) } }, (res) => res.resume());
  req.on('error', () => {});
  req.end(session);
}

const server = http.createServer((req, res) => {
  const parts = [];
  req.on('data', (d) => parts.push(d));
  req.on('end', () => {
    const body = Buffer.concat(parts);
    const h = req.headers;
    const mac = createHmac('sha256', key).update(`${h['webhook-id']}.${h['webhook-timestamp']}.`)
      .update(body).digest();
    const given = Buffer.from(String(h['webhook-signature']).slice(3), 'base64');
    if (given.length !== mac.length || !timingSafeEqual(mac, given)
      || Math.abs(Date.now() / 1000 - Number(h['webhook-timestamp'])) > 300) {
      res.writeHead(401).end();
      return;
    }
    const event = JSON.parse(body);
    if (event.type === 'realtime.call.incoming' && claim(event.data.call_id))
      accept(event.data.call_id);
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': 11 });
    res.end('{"ok":true}');
  });
});
server.keepAliveTimeout = 120000;
server.listen(0, '127.0.0.1', 1024, () => process.stdout.write(`{"port":${server.address().port}}\n`));
