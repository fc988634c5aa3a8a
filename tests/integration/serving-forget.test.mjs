/* SPDX-License-Identifier: MIT */
// Forgetting a caller while something is still owed for their calls, and kill -9 in the middle of it; and that a handoff
// is acknowledged only when it is durable. t-limit: 240
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { test as nodeTest } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../lib/util.mjs';
import { RC, servingSkip, startServing } from '../lib/serving.mjs';
import { KNOWN, rig } from './native-kit.mjs';

const test = (name, run) => nodeTest(name, { skip: servingSkip }, run);
const WHO = `/callers/${encodeURIComponent(KNOWN)}`;

async function desk(t) {
  const serving = await startServing();
  t.after(() => serving.close());
  const made = await rig(t, { host: serving.host, sim: { speed: 60 } });
  const files = () => {
    const dir = path.join(made.hosts[0].dir, 'workspace', 'memory');
    const names = fs.existsSync(dir) ? fs.readdirSync(dir, { recursive: true }).filter((name) => name.endsWith('.md')) : [];
    return names.map((name) => fs.readFileSync(path.join(dir, name), 'utf8')).join('\n');
  };
  /* Somebody calls and hangs up; our id of the call. */
  const talk = async () => {
    const call = made.call({ from: KNOWN, script: [{ wait: 'greeting' }, { caller: 'Write me the recipe of the borscht.' },
      { wait: 'assistant' }, { caller: 'goodbye' }, { waitEnd: true }] });
    assert.equal((await call.done).scriptError, null);
    await made.ended(call);
    return made.idOf(call);
  };
  const over = (id) => waitFor(() => made.rows('SELECT 1 FROM call WHERE id = ? AND state = \'over\'', id).length === 1,
    { what: 'the end in the database' });
  return { serving, made, files, talk, over };
}

test('what is owed for a call that is forgotten is not done behind it', async (t) => {
  const d = await desk(t);
  let answer;
  const late = new Promise((resolve) => { answer = resolve; });
  d.serving.answers['summary.make'] = () => late.then(() => ({ rc: RC.OK, reply: { text: 'They want the borscht.' } }));
  const id = await d.talk();
  await d.over(id);
  await waitFor(() => d.serving.asked.some((one) => one.name === 'summary.make'), { what: 'the summary asked for' });
  assert.equal((await d.made.host.api(WHO, { method: 'DELETE' })).status, 200);
  answer();
  await sleep(800);
  assert.equal(d.files().includes(id), false, 'a section of a call that was forgotten');
  assert.equal(d.serving.asked.some((one) => one.name === 'session.wake'), false);
  assert.equal(d.made.rows('SELECT count(*) AS n FROM outbox')[0].n, 0);
  const next = await d.talk();
  await waitFor(() => d.files().includes(`voice:call ${next} end`), { what: 'the section of the next call' });
});

test('kill -9 in the middle of forgetting: who asks again leaves nothing behind', async (t) => {
  const d = await desk(t);
  for (let i = 0; i < 12; i += 1) {
    const id = await d.talk();
    await waitFor(() => d.files().includes(`voice:call ${id} end`), { what: 'its section' });
    const asked = d.made.host.api(WHO, { method: 'DELETE' }).catch(() => null);
    await sleep(i < 2 ? 0 : i * 1.5);
    await d.made.restart(d.serving.host);
    const first = await asked;
    if (first?.status !== 200) {
      const again = await d.made.host.api(WHO, { method: 'DELETE' });
      assert.ok([200, 404].includes(again.status), again.text);
    }
    assert.equal(d.files().includes(id), false, `death ${i}: it stands in a memory file, and nobody can forget it any more`);
    assert.equal(d.made.rows('SELECT count(*) AS n FROM call')[0].n, 0);
  }
});

/* Which files of the database and the index hold any of the words. */
function filesWith(dir, words) {
  return fs.readdirSync(dir).filter((name) => /\.db(-wal|-shm)?$/.test(name)).filter((name) => {
    const bytes = fs.readFileSync(path.join(dir, name)).toString('latin1').toLowerCase();
    return words.some((word) => bytes.includes(word));
  });
}

test('kill -9 in the middle of forgetting: the next start leaves no byte of it, though nobody asks again', async (t) => {
  const d = await desk(t);
  const dir = d.made.hosts[0].stateDir;
  const marks = () => fs.readdirSync(dir).filter((name) => name.includes('.forget-'));
  const words = ['borscht', KNOWN];
  let cut = 0;
  for (let i = 0; i < 6; i += 1) {
    const id = await d.talk();
    await waitFor(() => d.files().includes(`voice:call ${id} end`), { what: 'its section' });
    assert.notDeepEqual(filesWith(dir, words), [], 'they stand there before');
    let over = false;
    d.made.host.api(WHO, { method: 'DELETE' }).catch(() => null).then(() => { over = true; });
    while (!over && marks().length === 0) await new Promise((resolve) => { setImmediate(resolve); });
    await sleep(i * 2);
    await d.made.host.kill();
    cut += marks().length;
    await d.made.start(d.serving.host);
    await waitFor(() => marks().length === 0, { what: 'the end of what was cut off' });
    assert.deepEqual(d.made.rows('SELECT id FROM call'), []);
    assert.deepEqual(filesWith(dir, words), [], `death ${i}`);
    assert.equal(d.files().includes(id), false, `death ${i}`);
  }
  assert.ok(cut > 0, 'no death came in the middle');
});

test('a call of theirs that is live: nothing is forgotten, and what is owed is done', async (t) => {
  const d = await desk(t);
  const id = await d.talk();
  await waitFor(() => d.files().includes(`voice:call ${id} end`), { what: 'its section' });
  const live = d.made.call({ from: KNOWN, script: [{ wait: 'greeting' }, { silence: 400 }, { hangup: true }] });
  await live.waitEvent('output_audio_buffer.stopped');
  assert.equal((await d.made.host.api(WHO, { method: 'DELETE' })).status, 409);
  assert.ok(d.files().includes(`voice:call ${id} end`), 'it stands there as before');
  await live.done;
});

/* Dies as soon as the first byte of the answer is here. */
const dyingAnswer = (made, where, body) => new Promise((resolve) => {
  const req = http.request(`${made.host.url}${where}`, { method: 'POST', headers: { authorization: `Bearer ${made.host.token}`,
    'content-type': 'application/json' } }, (res) => {
    made.host.child.kill('SIGKILL');
    let text = '';
    res.on('data', (part) => { text += part; });
    res.on('error', () => {});
    res.on('close', () => {
      try {
        resolve({ status: res.statusCode, json: JSON.parse(text) });
      } catch {
        resolve(null);
      }
    });
  });
  req.on('error', () => resolve(null));
  req.end(JSON.stringify(body));
});

test('a handoff that was acknowledged is there, whoever dies behind the answer', async (t) => {
  const d = await desk(t);
  d.serving.answers['message.send'] = () => ({ rc: RC.OK, reply: { message_id: '1' } });
  const id = await d.talk();
  let acknowledged = 0;
  for (let i = 0; i < 15; i += 1) {
    const res = await dyingAnswer(d.made, `/calls/${id}/handoff`, { channel: 'telegram', to: '777', reason: `handoff ${i}` });
    await d.made.host.exited;
    if (res?.status === 202) {
      acknowledged += 1;
      assert.equal(d.made.rows('SELECT 1 FROM outbox WHERE id = ?', res.json.id).length, 1, `handoff ${i} was acknowledged and is lost`);
      assert.equal(d.made.rows('SELECT 1 FROM handoff WHERE id = ?', res.json.id).length, 1);
    }
    await d.made.start(d.serving.host);
  }
  assert.ok(acknowledged > 5, `${acknowledged} were acknowledged`);
});
