// SPDX-License-Identifier: MIT
// A host in the gateway's place, as a program: the real plugin through the real binding, and whatever the
// plugin asks of its host is asked of the test (serving.mjs). It can be killed like any other.
//   node serving-host.mjs --config FILE --plugin FILE
// Environment: OCV_SERVING, the test's URL. Events go to stdout, one JSON object a line, as the native host's do.
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { buildDir } from './util.mjs';

const argument = (name) => process.argv[process.argv.indexOf(name) + 1];
const config = argument('--config');
const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

const addon = { exports: {} };
process.dlopen(addon, path.join(buildDir, 'openclaw_voice_node.node'), os.constants.dlopen.RTLD_NOW);
const library = addon.exports.load(fs.realpathSync(argument('--plugin')));

const post = async (where, body) => {
  const res = await fetch(`${process.env.OCV_SERVING}${where}`, { method: 'POST', body: JSON.stringify(body) });
  return res.json();
};

const instance = library.create(JSON.stringify({ host: 'gateway', config_file: config }), {
  log: (level, line) => process.stderr.write(`${line}\n`),
  event: (name, call, json) => name !== 'ready' && tell(JSON.parse(json)),
  request: (token, name, call, json) => {
    post(`/${name}`, { call, request: JSON.parse(json), pid: process.pid })
      .then(({ rc, reply }) => instance.reply(token, rc, JSON.stringify(reply ?? {})))
      .catch(() => instance.reply(token, -1, '{}'));
  },
  cancel: () => {},
});

const commands = http.createServer(async (req, res) => {
  let body = '';
  for await (const part of req)
    body += part;
  const answer = await instance.command(req.url.slice(1), '', body).catch((e) => JSON.stringify({ error: e.message }));
  res.end(answer);
});

const ready = JSON.parse(await instance.start());
commands.listen(0, '127.0.0.1', () => tell({ event: 'ready', ...ready, commands: commands.address().port }));

process.once('SIGTERM', async () => {
  commands.closeAllConnections();
  commands.close();
  await instance.stop(0, 1000);
  await instance.destroy();
  process.exit(0);
});
