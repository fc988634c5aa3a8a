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
