/* SPDX-License-Identifier: MIT */
// Calls for somebody: the model asks its owner in their chat in mid-call, the callee is kept company, and the owner gets
// the result. The host is the test's own; gateway-linked.test.mjs shows the same through the real one. t-limit: 240
import assert from 'node:assert/strict';
import { test as nodeTest } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { belowOf, waitFor } from '../lib/util.mjs';
import { RC, servingSkip, startServing } from '../lib/serving.mjs';
import { defaultBrain } from '../sim/brain.mjs';
import { BOB, lineRig } from './line-kit.mjs';

const test = (name, run) => nodeTest(name, { skip: servingSkip }, run);
const OWNER = 'telegram:777';
const SESSION = 'agent:main:direct:ada';
const REPORT = /^The call to /;
const QUESTION = /^A question from your call/;
const never = () => new Promise(() => {});

/* The model asks when it is asked what only the owner can know. */
const brain = (ctx) => (ctx.trigger === 'speech' && /eight or nine/.test(ctx.callerText ?? '')
  ? { items: [{ say: 'One moment, I am asking.' }, { call: 'ask_owner', args: { question: 'Table at eight or at nine?' } }] }
  : defaultBrain(ctx));
const asks = [{ wait: 'greeting' }, { caller: 'Shall it be eight or nine' }, { waitEnd: true, ms: 4000000 }];

async function desk(t, { script = asks, person = {}, outbound = {}, changes = {}, sim = {} } = {}) {
  const serving = await startServing();
  t.after(() => serving.close());
  const chat = [];
  serving.answers['message.send'] = (request) => chat.push(request) && { rc: RC.OK, reply: { message_id: '1' } };
  serving.answers['session.wake'] = () => ({ rc: RC.OK, reply: {} });
  serving.answers['summary.make'] = () => ({ rc: RC.OK, reply: { text: 'They have a table.' } });
  const made = await lineRig(t, { host: serving.host, sim: { brain, ...sim }, changes: [{ channels: { voice: {
    outbound: { ask_owner_timeout_ms: 60000, ...outbound } } } }, changes].reduce(merge),
  people: { [BOB]: { answers: 300, script, ...person } } });
  const d = { made, serving, chat };
  d.write = (text, more = {}) => serving.command(made.host, 'chat.message', { channel: 'telegram', peer: '777',
    session_key: SESSION, who: 'them', text, at: Date.now(), ...more });
  d.sent = (pattern) => chat.filter((m) => pattern.test(m.text));
  d.question = (n = 1) => waitFor(() => d.sent(QUESTION).length >= n && d.sent(QUESTION).at(-1),
    { timeoutMs: 30000, what: 'the question' }).catch((e) => { throw made.host.fail(e.message); });
  d.report = () => waitFor(() => d.sent(REPORT)[0], { timeoutMs: 40000, what: 'the report' })
    .catch((e) => { throw made.host.fail(e.message); });
  d.state = (id) => made.rows('SELECT state, answer FROM question WHERE call = ? ORDER BY asked_at', id);
  d.until = (id, state) => waitFor(() => d.state(id).at(-1)?.state === state, { timeoutMs: 20000, what: state });
  d.said = async (id) => (await made.get(`/calls/${id}/transcript`)).turns.map((turn) => `${turn.who}: ${turn.text}`).join('\n');
  d.hears = (id, text, timeoutMs = 30000) => waitFor(async () => (await d.said(id)).includes(text),
    { timeoutMs, what: `"${text}" on the phone` }).catch((e) => { throw made.host.fail(e.message); });
  d.end = async (id) => {
    await made.host.api(`/call/${id}`, { method: 'DELETE' });
    return made.over(id);
  };
  d.spoken = () => [...made.openai.calls.values()].flatMap((c) => c.turns.map((turn) => turn.text)).join('\n');
  d.tools = () => [...made.openai.calls.values()].flatMap((c) => c.requests.filter((r) => r.action === 'accept'))
    .map((r) => r.body.tools.map((tool) => tool.name)).at(-1);
  return d;
}

function merge(a, b) {
  const out = { ...a };
  for (const [key, value] of Object.entries(b))
    out[key] = value && typeof value === 'object' && !Array.isArray(value) && out[key] ? merge(out[key], value) : value;
  return out;
}

test('an answer in time is used in the call, and the result goes to the owner once', async (t) => {
  const d = await desk(t);
  const id = await d.made.dial({ purpose: 'Book a table', owner: OWNER, session: SESSION });
  const question = await d.question();
  assert.deepEqual([question.channel, question.to, question.session_key], ['telegram', '777', '']);
  for (const part of [BOB, 'Book a table', 'Table at eight or at nine?', id])
    assert.ok(question.text.includes(part), question.text);
  const open = await d.made.event(id, 'call.question', (e) => e.state === 'open');
  assert.equal(open.identity, OWNER);
  assert.match((await d.write('At nine, please.')).reply, /pass it on/);
  assert.deepEqual(d.state(id).map((q) => q.answer), ['At nine, please.'], 'durable before it is acknowledged');
  await d.hears(id, 'At nine, please.');
  await d.until(id, 'told');
  assert.deepEqual(await d.write('What is the weather?'), {}, 'the next message is like any other');
  await d.end(id);
  const { text, session_key: session } = await d.report();
  assert.equal(session, '');
  for (const part of [BOB, 'was answered', 'Book a table', 'They have a table.', 'You were asked: Table at eight or at nine?',
    'You answered: At nine, please.\n', 'They: Shall it be eight or nine', id])
    assert.ok(text.includes(part), `${part} in ${text}`);
  const woken = await waitFor(() => d.serving.asked.find((a) => a.name === 'session.wake' && a.request.session_key === SESSION),
    { what: 'the agent told' });
  assert.equal(woken.request.tools, 'safe');
  assert.ok(woken.request.text.includes('At nine, please.'));
  await sleep(500);
  assert.equal(d.sent(REPORT).length, 1);
  assert.equal(d.sent(QUESTION).length, 1);
  assert.equal((await d.said(id)).split('At nine, please.').length, 2, 'it enters once');
  assert.equal((await d.said(id)).includes('weather'), false);
});

test('silence is told honestly, with fillers in between; a late answer is news of the call', async (t) => {
  const d = await desk(t, { outbound: { ask_owner_timeout_ms: 5000 },
    changes: { channels: { voice: { call: { filler_after_ms: 600, progress_every_ms: 1000 } } } } });
  const id = await d.made.dial({ purpose: 'Book a table', owner: OWNER });
  await d.question();
  await d.hears(id, 'could not reach them');
  const tool = d.made.host.events.filter((e) => e.call === id && e.event === 'tool' && e.tool === 'ask_owner');
  const fillers = tool.filter((e) => e.phase === 'filler').map((e) => e.ms);
  assert.ok(fillers.length >= 2, `fillers at ${fillers}`);
  const end = tool.find((e) => e.phase === 'timeout').ms;
  assert.ok(end >= 5000, `${end} ms`);
  for (const [i, at] of [...fillers, end].entries())
    assert.ok(at - (fillers[i - 1] ?? 0) < 4500, `silent until ${at}: ${fillers}`);
  assert.match((await d.write('Make it eight.')).reply, /pass it on/);
  await d.hears(id, 'Make it eight.');
  assert.deepEqual(d.state(id).map((q) => q.state), ['told']);
  await d.end(id);
  assert.ok((await d.report()).text.includes('You answered: Make it eight.'));
});

test('the callee hangs up while it is open: the report says so, and what comes then is for the agent', async (t) => {
  const d = await desk(t, { script: [{ wait: 'greeting' }, { caller: 'Shall it be eight or nine' },
    { until: () => d?.chat?.length > 0, ms: 600000 }, { hangup: true }] });
  const id = await d.made.dial({ purpose: 'Book a table', owner: OWNER, session: SESSION });
  await d.question();
  await d.made.over(id);
  await d.made.event(id, 'call.question', (e) => e.state === 'over');
  assert.deepEqual(d.state(id).map((q) => q.state), ['expired']);
  const { text } = await d.report();
  assert.match(text, /You were asked: Table at eight or at nine\? No answer came in time\./);
  const woken = await waitFor(() => d.serving.asked.find((a) => a.name === 'session.wake' && a.request.session_key === SESSION),
    { what: 'the agent told of the question' });
  assert.ok(woken.request.text.includes('Table at eight or at nine?'));
  assert.deepEqual(await d.write('At nine!'), {}, 'an ordinary message');
});

test('kill -9 while it is open: asked once, answered once', async (t) => {
  const d = await desk(t);
  const id = await d.made.dial({ purpose: 'Book a table', owner: OWNER });
  await d.question();
  await d.until(id, 'open');
  await d.made.restart(d.serving.host);
  assert.match((await d.write('Nine it is.')).reply, /pass it on/, 'also before the question was read again');
  await d.hears(id, 'Nine it is.');
  await d.until(id, 'told');
  await d.made.restart(d.serving.host);
  await waitFor(() => d.made.host.events.some((e) => e.event === 'call.live' && e.call === id), { timeoutMs: 20000, what: 'the call' });
  assert.deepEqual(await d.write('Thank you.'), {});
  await d.end(id);
  await d.report();
  await sleep(500);
  assert.equal(d.sent(QUESTION).length, 1);
  assert.equal(d.sent(REPORT).length, 1);
  assert.equal((await d.said(id)).split('Nine it is.').length, 2);
});

test('kill -9 while the question is being sent: the same words under the same id', async (t) => {
  const d = await desk(t);
  d.serving.answers['message.send'] = (request) => d.chat.push(request) && never();
  const id = await d.made.dial({ purpose: 'Book a table', owner: OWNER });
  await d.question();
  d.serving.answers['message.send'] = (request) => d.chat.push(request) && { rc: RC.OK, reply: { message_id: '1' } };
  await d.made.restart(d.serving.host);
  await d.question(2);
  const [first, second] = d.sent(QUESTION);
  assert.deepEqual(second, first);
  await d.write('Eight.');
  await d.hears(id, 'Eight.');
  await d.end(id);
});

test('an answer from just before a kill -9 is used', async (t) => {
  const d = await desk(t);
  const id = await d.made.dial({ purpose: 'Book a table', owner: OWNER });
  await d.question();
  assert.match((await d.write('At half past eight.')).reply, /pass it on/);
  await d.made.restart(d.serving.host);
  await waitFor(() => d.spoken().includes('At half past eight.'), { timeoutMs: 30000, what: 'the answer' });
  assert.deepEqual(await d.write('And now?'), {});
  await d.end(id);
  assert.ok((await d.report()).text.includes('You answered: At half past eight.\n'));
});

test('a chat that refuses: told at once', async (t) => {
  const d = await desk(t);
  d.serving.answers['message.send'] = (request) => d.chat.push(request) && { rc: RC.EINVAL };
  const id = await d.made.dial({ purpose: 'Book a table', owner: OWNER });
  await d.hears(id, 'cannot be reached');
  assert.deepEqual(d.state(id).map((q) => q.state), ['expired']);
  assert.deepEqual(await d.write('Hello?'), {});
  await d.end(id);
});

test('whose the call is: the session that asked, the configuration, the host; nobody without a chat', async (t) => {
  const d = await desk(t, { script: [{ wait: 'greeting' }, { hangup: true }] });
  const ownerOf = async (body) => {
    const id = await d.made.dial({ purpose: 'test', ...body });
    const { owner, owner_session: session } = JSON.parse(d.made.rows('SELECT spec FROM line WHERE call = ?', id)[0].spec);
    await d.made.over(id);
    return { owner, session, offered: d.tools().includes('ask_owner') };
  };
  assert.deepEqual(await ownerOf({}), { owner: undefined, session: undefined, offered: false });
  assert.deepEqual(await ownerOf({ owner: 'webchat:1' }), { owner: undefined, session: undefined, offered: false });
  await d.write('Please call Bob.');
  assert.deepEqual(await ownerOf({ session: SESSION }), { owner: OWNER, session: SESSION, offered: true });
  assert.deepEqual(await ownerOf({ owner: OWNER }), { owner: OWNER, session: SESSION, offered: true });
  await d.serving.command(d.made.host, 'links.set', { groups: [['discord:5', 'voice:+15551239999']],
    owners: ['signal:1', 'telegram:888'] });
  assert.deepEqual(await ownerOf({}), { owner: 'telegram:888', session: '', offered: true });
  assert.deepEqual(await ownerOf({ owner: '+15551239999' }), { owner: 'discord:5', session: '', offered: true });
});

test('who is called for themselves is not asked in their chat', async (t) => {
  const d = await desk(t, { script: [{ wait: 'greeting' }, { hangup: true }] });
  await d.serving.command(d.made.host, 'links.set', { groups: [[OWNER, `voice:${BOB}`]], owners: [OWNER] });
  const id = await d.made.dial({ purpose: 'Wake me up' });
  await d.made.over(id);
  assert.equal(d.tools().includes('ask_owner'), false);
  assert.equal((await d.report()).to, '777');
});

test('kill -9 at random points of a question and its answer', async (t) => {
  const seed = Number(process.env.OCV_SEED ?? 7);
  const random = belowOf(seed);
  const d = await desk(t);
  d.serving.answers['message.send'] = async (request) => {
    await sleep(random(30));
    return d.chat.push(request) && { rc: RC.OK, reply: { message_id: '1' } };
  };
  const ids = [];
  for (let i = 0; i < 6; i += 1) {
    const id = await d.made.dial({ purpose: `Errand ${i}`, owner: OWNER });
    ids.push(id);
    if (random(2))
      await d.question(i + 1);
    else
      await d.made.event(id, 'tool', (e) => e.tool === 'ask_owner');
    await sleep(random(40));
    await d.made.restart(d.serving.host);
    await waitFor(() => d.sent(QUESTION).some((m) => m.text.includes(id)), { timeoutMs: 20000, what: `question ${i}` })
      .catch((e) => { throw d.made.host.fail(`seed ${seed}: ${e.message}`); });
    const answered = d.write(`Answer number ${i}.`).catch(() => null);
    await sleep(random(25));
    await d.made.restart(d.serving.host);
    if (!(await answered)?.reply)
      await waitFor(async () => d.state(id)[0].answer !== '' || (await d.write(`Answer number ${i}.`)).reply,
        { timeoutMs: 20000, what: `answer ${i} taken` });
    await waitFor(() => d.spoken().includes(`Answer number ${i}.`), { timeoutMs: 30000, what: `answer ${i} on the phone` })
      .catch((e) => { throw d.made.host.fail(`seed ${seed}: ${e.message}`); });
    await d.end(id);
  }
  for (const [i, id] of ids.entries()) {
    const texts = d.sent(QUESTION).filter((m) => m.text.includes(id));
    assert.equal(new Set(texts.map((m) => `${m.id} ${m.text}`)).size, 1, `seed ${seed}: ${JSON.stringify(texts)}`);
    const outputs = [...d.made.openai.calls.values()].flatMap((c) => [...c.toolCalls.values()])
      .filter((c) => c.name === 'ask_owner' && JSON.stringify(c.outputs).includes(`Answer number ${i}.`));
    assert.equal(outputs.length, 1, `seed ${seed}: answer ${i}`);
    assert.equal(outputs[0].outputs.length, 1, `seed ${seed}: answer ${i}`);
  }
});

test('a call that comes in asks nobody, and one that is not answered is reported', async (t) => {
  const d = await desk(t, { person: { answers: false }, outbound: { owner: OWNER, ring_timeout_seconds: 5 },
    changes: { security: { voice: { unknown_caller_policy: 'allow' } } } });
  const line = d.made.twilio.dialIn({ from: BOB, to: '+15550001000', script: [{ wait: 'greeting' }, { hangup: true }] });
  const { call } = await waitFor(() => d.made.host.events.find((e) => e.event === 'call.incoming'), { what: 'the call' });
  await d.made.over(call);
  assert.ok(line);
  assert.equal(d.tools().includes('ask_owner'), false);
  const id = await d.made.dial({ purpose: 'Wish a happy birthday' });
  assert.equal((await d.made.over(id, 30000)).outcome, 'no_answer');
  const { text, to } = await d.report();
  assert.equal(to, '777');
  assert.match(text, /was not answered/);
  assert.ok(text.includes('Wish a happy birthday'));
  assert.equal(d.sent(REPORT).length, 1, 'and of the other call nothing');
});

test('what the agent finds after the end is for the owner, not for who was called', async (t) => {
  const d = await desk(t, { script: [{ wait: 'greeting' }, { caller: 'Ask for the price of the boat' },
    { until: () => d?.acting, ms: 600000 }, { hangup: true }],
  changes: { security: { voice: { whitelist: [BOB], tools: { known: 'full' } } } } });
  await d.serving.command(d.made.host, 'links.set', { groups: [['telegram:999', `voice:${BOB}`]] });
  let finish;
  d.serving.answers['agent.run'] = async (request) => {
    await d.serving.command(d.made.host, 'run.acting', { run: request.run });
    d.acting = true;
    return new Promise((resolve) => { finish = resolve; });
  };
  const id = await d.made.dial({ purpose: 'Sell the boat', owner: OWNER });
  await d.made.over(id, 30000);
  finish({ rc: RC.OK, reply: { text: 'The boat costs 900.' } });
  const late = await waitFor(() => d.sent(/The boat costs 900/)[0], { timeoutMs: 20000, what: 'the late answer' })
    .catch((e) => { throw d.made.host.fail(e.message); });
  assert.deepEqual([late.to, late.session_key], ['777', '']);
});

test('one question at a time, five in a call', async (t) => {
  const d = await desk(t, { script: [{ wait: 'greeting' }, ...Array.from({ length: 6 }, () => [{ caller: 'eight or nine' },
    { wait: 'tool' }, { wait: 'assistant' }]).flat(), { waitEnd: true, ms: 4000000 }] });
  d.serving.answers['message.send'] = (request) => {
    d.chat.push(request);
    if (QUESTION.test(request.text))
      setTimeout(() => d.write(`answer ${d.sent(QUESTION).length}`), 50);
    return { rc: RC.OK, reply: { message_id: '1' } };
  };
  const id = await d.made.dial({ purpose: 'Book a table', owner: OWNER });
  await d.hears(id, 'as often as one call allows', 60000);
  assert.equal(d.sent(QUESTION).length, 5);
  assert.deepEqual(d.state(id).map((q) => q.answer), [1, 2, 3, 4, 5].map((n) => `answer ${n}`));
  await d.end(id);
});
