/* SPDX-License-Identifier: MIT */
// What the native-*.test.mjs files share: one host with its simulators, and looks at what became of a call.
import assert from 'node:assert/strict';
import { randomBytes, scryptSync } from 'node:crypto';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { startGatewayEndpoint, startOpenAI } from '../sim/index.mjs';
import { hostIndiscretions, openToOthers } from '../lib/discreet.mjs';
import { mergeConfig, startHost, voiceConfig } from '../lib/host.mjs';
import { waitFor } from '../lib/util.mjs';

/** The caller who is on the whitelist of every rig, and so known. */
export const KNOWN = '+15551234567';
/** A caller on no list. */
export const STRANGER = '+15559990000';

/** True for `make test-long`: cases that need minutes. */
export const LONG = Boolean(process.env.OCV_LONG);

/** Options of a case that only the long suite runs. */
export const onlyLong = (why) => ({ skip: LONG ? false : `${why}: only with OCV_LONG=1` });

class Rig {
  constructor(parts) {
    Object.assign(this, parts);
    this.hosts = [];
  }

  /** A configuration of this rig's simulators. */
  config(changes = {}) {
    return voiceConfig({ openai: this.openai, gateway: this.gateway,
      changes: mergeConfig(this.changes, changes) });
  }

  /** Starts a host; a later one takes the folder of the first, unless `fresh`. */
  async start({ changes = {}, fresh = false, ...opts } = {}) {
    const before = this.hosts[0];
    const place = before && !fresh ? { dir: before.dir, stateDir: before.stateDir } : {};
    const host = await startHost({ config: this.config(changes), ...place, ...opts });
    this.hosts.push(host);
    this.host = host;
    return host;
  }

  /** Dies as by a crash and starts again at once. */
  async restart(opts) {
    await this.host.kill();
    return this.start(opts);
  }

  /** Somebody calls; see SimCall. */
  call(opts = {}) {
    return this.openai.call({ webhookUrl: this.host.webhookUrl, ...opts });
  }

  /** The call.ended event of a simulated call, from any of the hosts. */
  async ended(call, timeoutMs = 15000) {
    return waitFor(() => this.eventsOf(call).find((e) => e.event === 'call.ended'),
      { timeoutMs, what: `call.ended of ${call.callId}` }).catch((error) => {
      throw this.host.fail(error.message);
    });
  }

  /** Our id of a simulated call. */
  idOf(call) {
    for (const host of this.hosts) {
      const event = host.events.find((e) => e.openai_call_id === call.callId);
      if (event)
        return event.call;
    }
    return null;
  }

  /** All events of a call, of all hosts in order. */
  eventsOf(call) {
    const id = this.idOf(call);
    return this.hosts.flatMap((host) => host.events).filter((e) => id && e.call === id);
  }

  async get(where) {
    const res = await this.host.api(where);
    assert.equal(res.status, 200, `GET ${where}: ${res.status} ${res.text}`);
    return res.json;
  }

  /** {call, transcript, why} of a simulated call as the API tells it. */
  async story(call) {
    const id = call.callId;
    return { call: await this.get(`/calls/${id}`), transcript: await this.get(`/calls/${id}/transcript`),
      why: await this.get(`/calls/${id}/why`) };
  }

  /** Rows of the database. */
  rows(sql, ...args) {
    const db = new DatabaseSync(path.join(this.hosts[0].stateDir, 'voice.db'), { readOnly: true });
    try {
      return db.prepare(sql).all(...args);
    } finally {
      db.close();
    }
  }

  /** No log of a host holds a secret, a whole number or a spoken word that it may not; no file is others'. */
  assertDiscreet() {
    /* Not the model's own turns: it reads our words for failures to the caller. */
    const said = [...[...this.openai.calls.values()].flatMap((call) => call.turns)
      .filter((turn) => turn.who === 'caller').map((turn) => turn.text),
    ...(this.gateway?.requests ?? []).map((request) => request.answer ?? '')];
    for (const host of this.hosts) {
      assert.deepEqual(hostIndiscretions(host, { said }), [], 'what a log must not hold');
      assert.deepEqual(openToOthers(host.stateDir), [], 'what others than its owner may touch');
    }
  }

  async close() {
    const stops = await Promise.allSettled(this.hosts.filter((host) => !host.exit).map((host) => host.stop()));
    await this.openai.close();
    await this.gateway?.close();
    const bad = stops.find((stop) => stop.status === 'rejected');
    if (bad)
      throw bad.reason; // only now: a host that is left running would keep the test from its end
    this.assertDiscreet();
    if (this.clean)
      this.openai.assertClean();
    this.gateway?.assertClean();
  }
}

/**
 * One host with its simulators, closed (and the simulators found clean) when the test is over.
 * @param {object} t the test's context
 * @param {object} [opts] sim (options of startOpenAI), rules or gateway (a gateway endpoint with these
 *   rules or options; none: no agent), changes (configuration), start (false: no host yet), clean
 *   (false: the test looks at violations itself)
 * @returns {Promise<Rig>}
 */
export async function rig(t, { sim = {}, rules, gateway, changes = {}, start = true, clean = true,
  host = {} } = {}) {
  const openai = await startOpenAI({ speed: 20, ...sim });
  const endpoint = rules || gateway ? await startGatewayEndpoint({ rules, ...gateway }) : null;
  const base = { security: { voice: { whitelist: [KNOWN], tools: { known: 'full' } } } };
  const made = new Rig({ openai, gateway: endpoint, clean, changes: mergeConfig(base, changes) });
  t.after(() => made.close());
  if (start)
    await made.start(host);
  return made;
}

/** What stands in the configuration for a PIN, made as the sample says. */
export function pinHash(pin) {
  const salt = randomBytes(16);
  const key = scryptSync(pin, salt, 32, { N: 16384, r: 8, p: 1, maxmem: 64 * 1024 * 1024 });
  return `scrypt$16384$8$1$${salt.toString('base64')}$${key.toString('base64')}`;
}

/**
 * The row of an action as it stands when the process dies right behind its commit: the host must be down.
 * @param {object} [body] what it was asked with; agoMs: how long ago
 */
export function putAction(made, call, id, kind, body = {}, agoMs = 0) {
  const db = new DatabaseSync(path.join(made.hosts[0].stateDir, 'voice.db'));
  try {
    db.prepare('INSERT INTO action(id, call, kind, state, error, idem, idem_hash, body, at, done_at)'
      + ' VALUES(?,?,?,\'asked\',\'\',\'\',\'\',?,?,0)')
      .run(id, call, kind, JSON.stringify({ by: 'api', ...body }), Date.now() - agoMs);
  } finally {
    db.close();
  }
}

/** What the API says of an action, once it is over. */
export const actionOver = (made, call, id, timeoutMs = 20000) => waitFor(async () => {
  const { actions } = await made.get(`/calls/${call}/actions`);
  const action = actions.find((each) => each.id === id);
  return action && !['asked', 'doing'].includes(action.state) ? action : null;
}, { timeoutMs, what: `the end of ${id}` });

/** Lines of the host's log that fit. */
export const logLines = (host, pattern) => host.stderr.text.split('\n').filter((l) => pattern.test(l));

/** The simulator's turns in conversation order, without those in which nobody said anything. */
export function spokenTurns(call) {
  const at = new Map(call.conversation.items.map((item, i) => [item.id, i]));
  return call.turns.filter((turn) => turn.text !== '' || turn.interrupted)
    .sort((a, b) => at.get(a.item_id) - at.get(b.item_id));
}

/* What was heard of a turn is known only by an estimate, and is cut back to the end of a word. */
function assertHeard(got, turn) {
  if (!turn.interrupted || turn.who === 'caller') {
    assert.equal(got.text, turn.text);
    return;
  }
  assert.ok(turn.text.startsWith(got.text), `"${got.text}" is no beginning of "${turn.text}"`);
  const word = Math.max(...turn.text.split(' ').map((w) => w.length)) + 3;
  assert.ok(Math.abs(got.text.length - turn.heard.length) <= word,
    `kept "${got.text}", heard was "${turn.heard}" of "${turn.text}"`);
}

/** Fails unless the turns are what the simulator's call says was said. */
export function assertTurns(got, call, expected = spokenTurns(call)) {
  assert.deepEqual(got.map((turn) => `${turn.who} ${turn.item_id}`),
    expected.map((turn) => `${turn.who} ${turn.item_id}`), 'turns in conversation order');
  got.forEach((turn, i) => {
    assertHeard(turn, expected[i]);
    assert.equal(turn.interrupted, expected[i].interrupted, `interrupted: "${expected[i].text}"`);
  });
}

/**
 * Fails unless each turn that was told to a host stands in the transcript, once and in its place.
 * @param {function} excused whether what was told at that time (wall ms) may have been lost on its way
 */
export function assertTold(call, transcript, excused, name = call.callId) {
  const stored = new Map(transcript.turns.map((turn) => [turn.item_id, turn]));
  assert.equal(stored.size, transcript.turns.length, `${name}: no turn twice`);
  for (const { event } of call.serverEvents.filter((e) => e.sent && !excused(e.t))) {
    if (/transcription\.completed$/.test(event.type))
      assert.equal(stored.get(event.item_id)?.text, event.transcript, `${name}: the caller's turn`);
    if (event.type !== 'response.done')
      continue;
    for (const item of event.response.output.filter((i) => i.type === 'message')) {
      const turn = stored.get(item.id);
      assert.ok(turn, `${name}: "${item.content[0]?.transcript}" was told and is stored`);
      assert.ok(item.content[0].transcript.startsWith(turn.text));
    }
  }
  const order = call.conversation.items.map((item) => item.id);
  const places = transcript.turns.map((turn) => order.indexOf(turn.item_id));
  assert.deepEqual(places, [...places].sort((a, b) => a - b), `${name}: in conversation order: ${
    transcript.turns.map((turn) => `${turn.who} "${turn.text}"`).join(', ')}`);
}

/**
 * Fails unless API, database, events and simulator tell the same conversation.
 * @returns {Promise<object>} the call's story
 */
export async function assertStory(made, call) {
  const story = await made.story(call);
  const id = story.call.call;
  assertTurns(story.transcript.turns, call);
  const rows = made.rows('SELECT item_id, who, text, interrupted, at FROM turn WHERE call = ? '
    + 'ORDER BY pos, n', id);
  assert.deepEqual(rows.map((row) => ({ ...row, interrupted: row.interrupted === 1 })),
    story.transcript.turns, 'database and API tell the same');
  const last = new Map();
  made.eventsOf(call).filter((e) => e.event === 'turn').forEach((e) => last.set(e.item_id, e));
  for (const turn of story.transcript.turns.filter((each) => each.text !== '')) {
    const event = last.get(turn.item_id);
    assert.ok(event, `an event for the turn "${turn.text}"`);
    assert.deepEqual([event.who, event.text, event.interrupted],
      [turn.who, turn.text, turn.interrupted], 'event and API tell the same');
  }
  assert.equal(story.call.turns, story.transcript.turns.length);
  return story;
}

/** Requests of a call by action: 'accept', 'reject', 'hangup', 'sideband'. */
export const requestsOf = (call, action) => call.requests.filter((r) => r.action === action);

/** How often the client asked to speak. */
export const creates = (call) => call.events.filter((e) => e.type === 'response.create');

/** Outputs that the client gave, as text in order. */
export const outputsOf = (call) => call.events.filter((e) => e.type === 'conversation.item.create'
  && e.event.item.type === 'function_call_output').map((e) => e.event.item);

/** All {started, stopped} of the assistant's voice as the caller hears it, wall ms. */
export function heard(call) {
  const spans = [];
  call.on('playing', () => spans.push({ started: Date.now(), stopped: null }));
  call.on('played', () => { spans.at(-1).stopped = Date.now(); });
  return spans;
}
