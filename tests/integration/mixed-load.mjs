/* SPDX-License-Identifier: MIT */
/*
 * One life of a mixed load: callers, callees, an agent and clients of the API go on as planned (mixed-plan.mjs) while the
 * host dies and starts again. What they saw is kept here; mixed-check.mjs looks at it in the end. All reach the host by a
 * tunnel, as in life: while there is no host it takes connections and cuts them.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { startHost } from '../lib/host.mjs';
import { RC, startServing } from '../lib/serving.mjs';
import { sleep, slower, waitFor } from '../lib/util.mjs';
import { PUBLIC, lineRig } from './line-kit.mjs';

const SIGHT_MS = 2500; // a death waits no longer for what it wants to see
const WORK_MS = 120000; // until all have hung up
const SETTLE_MS = 90000; // until nothing is owed any more: a leg that is looked for takes 75 s
const HURRY_MS = 25000; // the same for who does not wait for such legs

/** What stands before the host. */
class Tunnel {
  constructor(seen) {
    this.seen = seen;
    this.to = null; // the host's port
    this.server = net.createServer((client) => this.carry(client));
  }

  async open() {
    await new Promise((resolve) => { this.server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, resolve); });
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }

  carry(client) {
    client.on('error', () => {});
    if (this.to === null) {
      client.resetAndDestroy();
      return;
    }
    const host = net.connect({ port: this.to, host: '127.0.0.1' });
    const pair = [client, host];
    pair.forEach((socket, i) => {
      socket.on('error', () => {});
      socket.on('close', () => pair[1 - i].destroy());
      socket.setNoDelay(true);
    });
    let asked = '';
    client.on('data', (data) => {
      asked = this.request(data.toString('latin1', 0, 24)) ?? asked;
      host.write(data);
    });
    host.on('data', (data) => {
      client.write(data);
      this.seen(`${asked} answered`);
    });
  }

  /* What a request is; undefined: its head was in an earlier piece. */
  request(head) {
    const what = /^[A-Z]+ \/webhook/.test(head) ? 'webhook' : /^[A-Z]+ \/twilio/.test(head) ? 'callback'
      : /^(POST|PUT|DELETE) \//.test(head) ? 'api' : /^[A-Z]+ \//.test(head) ? 'question' : undefined;
    if (what)
      this.seen(what);
    return what;
  }

  close() {
    this.server.close();
  }
}

const people = {
  talks: (out) => ({ answers: out.answersMs, hangsUpMs: out.talksMs, script: [{ wait: 'greeting', ms: 60000 },
    { caller: `Hello, this is ${out.name}.`, ms: 60000 }, { wait: 'assistant', ms: 60000 }, { waitEnd: true }] }),
  busy: () => ({ busy: true }),
  declines: () => ({ rejects: 600 }),
  nobody: () => ({ answers: false }),
  machine: (out) => ({ answers: out.answersMs, voicemail: { greeting: 'Please leave a message.', maxS: 120 } }),
};

/* For each deed what is asked for, one behind the other. */
const steps = {
  hold: () => [['hold'], ['resume']],
  mute: () => [['mute'], ['unmute']],
  dtmf: (out, deed) => [['dtmf', { digits: `7${deed.n}#` }]],
  blind: (out) => [['transfer', { to: out.target.name, mode: 'blind' }]],
  warm: (out) => [['transfer', { to: out.target.name, mode: 'warm' }]],
  invite: (out) => [['invite', { to: out.target.name }]],
  announce: (out, deed) => [['announce', { text: `Announcement ${out.name} ${deed.n}.` }]],
  say: (out, deed) => [['say', { text: `Remark ${out.name} ${deed.n}.` }]],
  hangup: () => [['hangup']],
  pause: () => [['recording/pause'], ['recording/resume']],
};

export class Life {
  /** @param {object} plan of planOf(); patient: legs that are lost are waited for */
  constructor(plan, { patient = true } = {}) {
    Object.assign(this, { plan, patient });
    this.deaths = []; // {from, readyAt}
    this.runs = new Map(); // word -> {asked: [], effects, answers}
    this.acknowledged = new Map(); // our call id -> Map(item -> text) that the API has shown
    this.chat = [];
    this.appended = [];
    this.woken = [];
    this.work = [];
    this.faults = []; // of the load itself
    this.lagMs = 0;
    this.trap = null;
    this.over = false;
    this.tunnel = new Tunnel((what) => this.saw(what));
  }

  /* ---- the surroundings ---- */

  async open(t) {
    const { plan } = this;
    await this.tunnel.open();
    t.after(() => this.tunnel.close());
    this.serving = plan.host === 'serving' ? await startServing() : null;
    if (this.serving)
      t.after(() => this.serving.close());
    const calls = { filler_after_ms: 1200, tool_timeout_ms: 3000, max_concurrent: 500 };
    const known = plan.inbound.filter((one) => one.voice !== 'stranger').map((one) => one.from);
    this.made = await lineRig(t, { start: false, clean: false,
      sim: { speed: 20, validate: 0.1, timing: { ringMs: 60000 }, retryMs: Array(150).fill(200) },
      ...(this.serving ? {} : { rules: [{ match: /q\d+x\d+/, delayMs: 120, chunks: 4, chunkMs: 150,
        reply: ({ words }) => `Done is ${/q\d+x\d+/.exec(words)[0]} as you wished, and all is well.` }] }),
      people: this.people(), twilio: { conferenceDtmf: false },
      changes: { channels: { voice: { call: calls, api: { requests_per_minute: 1000000 }, outbound: { calls_per_second: 100,
        voicemail: 'message', voicemail_message: 'This is a message for you.', ring_timeout_seconds: 30 } } },
      security: { voice: { whitelist: known, unknown_caller_policy: 'reject', transfer_targets:
        Object.fromEntries(plan.outbound.map((out) => [out.target.name, out.target.number])) } } } });
    const { openai, twilio } = this.made;
    openai.webhookUrl = `${this.tunnel.url}/webhook`;
    twilio.route(PUBLIC, this.tunnel.url);
    this.listen(openai, twilio);
    if (this.serving)
      this.serve();
  }

  people() {
    return Object.fromEntries(this.plan.outbound.flatMap((out) => [[out.to, people[out.person](out)],
      [out.target.number, { answers: 800, accepts: out.target.accepts, hangsUpMs: 20000 }]]));
  }

  listen(openai, twilio) {
    openai.on('request', (entry) => this.saw(entry.action));
    openai.on('call', (call) => {
      call.most = 0;
      call.attachedAt = [];
      call.on('attached', () => {
        call.most = Math.max(call.most, call.sidebands.size);
        call.attachedAt.push(Date.now());
        this.saw('attached');
      });
    });
    twilio.on('request', ({ op, params }) => this.saw(op === 'participants.create' ? (/^sip/.test(params.To) ? 'model' : 'dial')
      : /record/.test(op ?? '') ? 'recording' : /^(conf|part)/.test(op ?? '') ? 'room' : op));
    const where = (leg) => {
      leg.wasIn ??= leg.participant?.conference.friendlyName;
      if (!leg.sounds) {
        leg.sounds = [];
        leg.on('heard', ({ kind, text }) => leg.sounds.push({ kind, text }));
      }
    };
    twilio.on('status', where);
    twilio.on('conference', (_conference, _event, participant) => participant && where(participant.leg));
    this.made.gateway?.on('chat', (entry) => this.nativeRun(entry));
  }

  /* ---- what a death waits for ---- */

  saw(what) {
    const trap = this.trap;
    if (!trap || trap.of !== what)
      return;
    trap.left -= 1;
    if (trap.left <= 0)
      trap.spring();
  }

  /* Resolves when it is time, at once when the host is gone. kill() is called where a ms would be too late. */
  async moment(death, host, ready, kill) {
    if (death.at === 'start') {
      await sleep(death.ms);
      return;
    }
    await ready;
    if (death.at === 'ready' || death.at === 'time') {
      await sleep(death.ms);
      return;
    }
    let stop = () => {};
    const seen = new Promise((resolve) => {
      if (death.at === 'sight') {
        this.trap = { of: death.of, left: death.nth, spring: () => { if (death.ms === 0) kill(); resolve(); } };
        return;
      }
      const watch = fs.watch(path.join(host.stateDir, 'voice.db'), () => resolve()); // the log is written back to it
      stop = () => watch.close();
    });
    await Promise.race([seen, sleep(SIGHT_MS), host.exited]);
    this.trap = null;
    stop();
    await sleep(death.ms);
  }

  /* ---- the host ---- */

  /* Launches; {host, ready}: ready resolves when it listens, or is gone. */
  launch() {
    const { made } = this;
    const first = made.hosts[0];
    const up = { host: null, ready: null, readyAt: null };
    const place = first ? { dir: first.dir, stateDir: first.stateDir } : {};
    up.ready = startHost({ config: made.config(), ...place, ...this.serving?.host, readyMs: 30000, launched: (host) => {
      up.host = host;
      made.hosts.push(host);
      made.host = host;
    } }).then((host) => {
      up.readyAt = Date.now();
      if (!host.exit)
        this.tunnel.to = Number(new URL(host.url).port);
    }, (error) => {
      if (!up.host)
        throw error;
      if (up.host.exit?.signal !== 'SIGKILL')
        this.faults.push(`the host did not start: ${error.message}`);
    });
    return up;
  }

  async live(death, k) {
    const up = this.launch();
    const kill = () => {
      if (!up.host.exit)
        up.host.child.kill('SIGKILL');
    };
    up.ready.then(() => this.phase(k), () => {});
    if (!up.host)
      await up.ready;
    await this.moment(death, up.host, up.ready, kill);
    const from = Date.now();
    if (up.host.exit && up.host.exit.signal !== 'SIGKILL')
      this.faults.push(`the host ended by itself: ${JSON.stringify(up.host.exit)} ${up.host.stderr.last(5)}`);
    kill();
    this.tunnel.to = null;
    await Promise.all([up.host.exited, up.ready]);
    this.tunnel.to = null;
    this.noted(up, from);
  }

  /* A death lasts until the next start that listens. */
  noted(up, from) {
    if (up.readyAt !== null)
      this.deaths.filter((death) => death.readyAt === null).forEach((death) => { death.readyAt = up.readyAt; });
    if (from !== null)
      this.deaths.push({ from, to: Date.now() + 20, readyAt: null });
  }

  phase(k) {
    const { inbound, outbound } = this.plan;
    for (const item of [...inbound, ...outbound].filter((one) => one.phase === k)) {
      const act = () => (item.from ? this.inbound(item) : this.outbound(item));
      this.work.push(sleep(item.delayMs).then(act).catch((error) => {
        this.faults.push(`${item.name}: ${error.stack}`);
      }));
    }
  }

  /** All of it, until nothing is owed any more. told(k) after each death. */
  async run(told = () => {}) {
    const polling = this.poll();
    let last = Date.now();
    const beat = setInterval(() => { // how late this process is itself: it serves for the carrier and for OpenAI
      this.lagMs = Math.max(this.lagMs, Date.now() - last - 100);
      last = Date.now();
    }, 100);
    for (const [k, death] of this.plan.deaths.entries()) {
      await this.live(death, k);
      told(k);
    }
    const up = this.launch();
    await up.ready;
    this.noted(up, null);
    this.finalAt = Date.now();
    let timer;
    const late = new Promise((resolve) => { timer = setTimeout(resolve, WORK_MS * slower, 'late'); });
    if (await Promise.race([Promise.all(this.work), late]) === 'late')
      this.faults.push('the load does not end');
    clearTimeout(timer);
    await this.settle();
    this.over = true;
    clearInterval(beat);
    await polling;
  }

  /* ---- until the end ---- */

  /* Calls of which a leg is looked for: its making was never confirmed. */
  async lostCalls() {
    const open = this.made.rows('SELECT call FROM line WHERE phase <> \'completed\'');
    const lost = await Promise.all(open.map(async ({ call }) => {
      const res = await this.ask(`/calls/${call}`, { method: 'GET' });
      return res?.json?.parties?.some((party) => party.state === 'lost') ? call : null;
    }));
    return lost.filter(Boolean);
  }

  async owed() {
    const count = (sql) => this.made.rows(sql)[0].n;
    const lost = this.patient ? '\'\'' : (await this.lostCalls()).map((id) => `'${id}'`).join(',') || '\'\'';
    return { calls: count(`SELECT count(*) n FROM call WHERE state <> 'over' AND id NOT IN (${lost})`),
      lines: count(`SELECT count(*) n FROM line WHERE phase <> 'completed' AND call NOT IN (${lost})`),
      actions: count(`SELECT count(*) n FROM action WHERE state IN ('asked','doing') AND call NOT IN (${lost})`),
      // Where nobody carries messages a handoff is tried for two hours, and says so.
      outbox: count(`SELECT count(*) n FROM outbox WHERE state NOT IN ('done','failed','uncertain')${
        this.serving ? '' : ' AND kind <> \'handoff\''}`),
      recordings: count('SELECT count(*) n FROM recording WHERE state = \'fetching\'') };
  }

  async settle() {
    await waitFor(async () => Object.values(await this.owed()).every((n) => n === 0), { everyMs: 200, what: 'the end of all',
      timeoutMs: this.patient ? SETTLE_MS : HURRY_MS }).catch(async () => {
      this.faults.push(`still owed: ${JSON.stringify(await this.owed())}`);
    });
    this.lost = new Set(await this.lostCalls());
    if (this.lost.size === 0)
      await this.made.twilio.idle(20000).catch((error) => this.faults.push(error.message));
  }

  /* ---- a client of the API ---- */

  /* Asks until there is an answer that says yes or no; `once`: null when there was none. */
  async ask(where, { method = 'POST', body, headers = {}, once = false } = {}) {
    for (let tries = 1; ; tries += 1) {
      const answer = await this.askOnce(where, { method, body, headers });
      if (answer && ![429, 502, 503].includes(answer.status))
        return { ...answer, tries };
      if (once || this.over || tries > 400)
        return null;
      await sleep(80);
    }
  }

  async askOnce(where, { method, body, headers }) {
    try {
      const res = await fetch(this.tunnel.url + where, { method, body: body === undefined ? undefined : JSON.stringify(body),
        headers: { authorization: `Bearer ${this.made.hosts[0].token}`, ...(body === undefined ? {}
          : { 'content-type': 'application/json' }), ...headers }, signal: AbortSignal.timeout(10000) });
      return { status: res.status, json: JSON.parse(await res.text()), at: Date.now() };
    } catch {
      return null; // it died meanwhile
    }
  }

  /* What the API has shown of a conversation must stand there in the end. */
  async poll() {
    for (let n = 0; !this.over; n += 1) {
      await sleep(60);
      const calls = [...this.made.openai.calls.values()].filter((call) => call.acceptedAt);
      const call = calls.length > 0 ? calls[n % calls.length] : null;
      const res = call && this.tunnel.to !== null
        ? await this.askOnce(`/calls/${call.callId}/transcript`, { method: 'GET', headers: {} }) : null;
      if (res?.status !== 200)
        continue;
      if (!this.acknowledged.has(call))
        this.acknowledged.set(call, new Map());
      res.json.turns.filter((turn) => turn.text !== '').forEach((turn) => this.acknowledged.get(call).set(turn.item_id, turn.text));
    }
  }

  /* ---- callers ---- */

  async inbound(item) {
    const { made } = this;
    if (item.voice === 'carrier') {
      item.line = made.twilio.dialIn({ from: item.from, script: [{ wait: 'greeting', ms: 60000 },
        { caller: `I say ${item.name}.`, ms: 60000 }, { wait: 'assistant', ms: 60000 }, { silence: 600 }, { hangup: true }] });
      return;
    }
    const call = made.call({ from: item.from, webhookUrl: made.openai.webhookUrl, faults: { webhook: item.webhook } });
    item.call = call;
    const edits = item.voice === 'stranger' ? null : this.edits(item);
    await waitFor(() => call.acceptedAt || call.over, { timeoutMs: 90000, what: `the answer to ${item.name}` });
    if (!call.over)
      await this.converse(item);
    await call.done;
    await edits;
  }

  async quiet(call, ms = 20000) {
    await waitFor(() => call.idle || call.over, { timeoutMs: ms, everyMs: 30, what: 'quiet' }).catch(() => null);
    return !call.over;
  }

  async converse(item) {
    const { call } = item;
    const heard = (since, ms) => call.waitEvent('output_audio_buffer.stopped', { since, timeoutMs: ms }).catch(() => null);
    await heard(0, 8000); // a greeting
    for (const turn of item.turns) {
      await call.sleep(turn.afterMs);
      if (!await this.quiet(call))
        return;
      const since = call.serverEvents.length;
      await call.say(turn.asks ? `What about ${turn.word}?` : `I say ${turn.word}.`);
      await heard(since, 12000);
    }
    await this.end(item);
  }

  async end(item) {
    const { call } = item;
    if (item.ends === 'caller') {
      call.hangup();
      return;
    }
    if (item.ends === 'api') {
      item.ended = await this.ask(`/call/${call.callId}`, { method: 'DELETE' });
      await waitFor(() => call.over, { timeoutMs: 20000 }).catch(() => this.faults.push(`${item.name} was to end, answered ${
        item.ended?.status}, and goes on`));
    }
    // A goodbye whose end was lost with the host is said again, as people do.
    for (let i = 0; i < 6 && await this.quiet(call); i += 1) {
      await call.say('goodbye');
      await waitFor(() => call.over, { timeoutMs: 4000 }).catch(() => null);
    }
    call.hangup();
  }

  async edits(item) {
    const { call } = item;
    const where = `/callers/${encodeURIComponent(item.from)}`;
    await waitFor(() => call.acceptedAt || call.over, { timeoutMs: 90000, what: 'an answer' }).catch(() => null);
    for (const edit of item.edits.filter((one) => !(one.what === 'handoff' && !one.live) && one.what !== 'forget'))
      await this.edit(item, edit, where);
    await call.done;
    for (const edit of item.edits.filter((one) => (one.what === 'handoff' && !one.live) || one.what === 'forget'))
      await this.edit(item, edit, where);
  }

  async edit(item, edit, where) {
    if (edit.what === 'notes') {
      for (let i = 0; i < edit.times; i += 1) {
        const notes = `Note ${i} of ${item.name}`;
        if ((await this.ask(`${where}/notes`, { method: 'PUT', body: { notes } }))?.status === 200)
          item.notes = notes;
        await sleep(100);
      }
    } else if (edit.what === 'link') {
      const { identity } = edit;
      if ((await this.ask(`${where}/links`, { body: { identity } }))?.status === 200)
        item.linked = { identity, is: true };
      await sleep(150);
      const undone = edit.undo ? await this.ask(`${where}/links`, { method: 'DELETE', body: { identity } }) : null;
      if (undone && (undone.status === 200 || undone.tries > 1)) // an answer that was lost: there is nothing to undo any more
        item.linked = { identity, is: false };
    } else if (edit.what === 'handoff') {
      item.handoff = await this.ask(`/calls/${item.call.callId}/handoff`, { once: true,
        body: { channel: 'telegram', to: edit.to, reason: `Handoff of ${item.name}` } });
    } else {
      await this.forget(item, where);
    }
  }

  async forget(item, where) {
    const known = await this.ask(`/calls/${item.call.callId}`, { method: 'GET' });
    item.ours = known?.json?.call;
    await waitFor(async () => {
      const res = await this.ask(where, { method: 'DELETE' });
      item.forgot = res;
      return res === null || res.status !== 409;
    }, { timeoutMs: 60000, everyMs: 300, what: `the end of the call of ${item.name}` });
  }

  /* ---- calls that are placed ---- */

  async outbound(item) {
    const key = `key of ${item.name}`;
    const body = { to: item.to, purpose: `Purpose of ${item.name}`, ...(item.record ? { record: true } : {}),
      ...(item.header ? {} : { idempotency_key: key }),
      ...(item.report ? { report: { channel: 'telegram', to: `9${item.n}` } } : {}) };
    const dial = () => this.ask('/call', { body, headers: item.header ? { 'idempotency-key': key } : {} });
    if (item.lateAnswers)
      this.made.twilio.faults = { 'participants.create': { ...item.lateAnswers } };
    item.answers = [await dial()];
    const again = (async () => {
      for (let i = 0; i < item.again; i += 1) {
        await sleep(300 + 500 * i);
        item.answers.push(await dial());
      }
    })();
    item.id = item.answers[0]?.json?.call_id;
    item.asked = [];
    if (item.id && item.deeds.length > 0)
      await this.deeds(item);
    await again;
  }

  async deeds(item) {
    const leg = () => this.made.twilio.person(item.to).line?.leg;
    await waitFor(() => leg()?.up || leg()?.over, { timeoutMs: 30000, everyMs: 40, what: 'an answer' }).catch(() => null);
    let towards = false;
    for (const deed of item.deeds) {
      await sleep(deed.afterMs);
      if (leg()?.over !== false)
        return;
      if (['blind', 'warm', 'invite'].includes(deed.kind) && towards)
        continue; // one target rings once
      towards ||= ['blind', 'warm', 'invite'].includes(deed.kind);
      if (deed.kind === 'delete')
        item.deleted = await this.ask(`/call/${item.id}`, { method: 'DELETE' });
      else
        await this.deed(item, deed);
    }
  }

  async deed(item, deed) {
    for (const [verb, body = {}] of steps[deed.kind](item, deed)) {
      const headers = { 'idempotency-key': `${item.name} ${deed.n} ${verb}` };
      const ask = () => this.ask(`/calls/${item.id}/${verb}`, { body, headers });
      const asked = { deed, verb, body, answers: [await ask()] };
      item.asked.push(asked);
      if (deed.again)
        asked.answers.push(await ask());
      await sleep(250);
    }
  }

  /* ---- the agent ---- */

  runOf(words) {
    const word = /q\d+x\d+/.exec(words)?.[0] ?? words;
    if (!this.runs.has(word))
      this.runs.set(word, { word, asked: [], effects: [] });
    return this.runs.get(word);
  }

  turnOf(word) {
    return this.plan.inbound.flatMap((item) => item.turns).find((turn) => turn.word === word);
  }

  /* Its first words mean that it acts; it goes on once the host has seen them, and what it does ends with that one. */
  async nativeRun(entry) {
    const run = this.runOf(entry.words || JSON.stringify(entry.body.messages));
    const { host } = this.made;
    run.asked.push(Date.now());
    this.saw('run');
    const tool = () => [...this.made.openai.calls.values()].flatMap((call) => [...call.toolCalls.values()])
      .find((one) => one.arguments.includes(run.word));
    const acts = () => host.events.some((e) => e.event === 'tool' && e.phase === 'acting' && e.tool_call === tool()?.call_id);
    await waitFor(() => acts() || entry.aborted || host.exit, { timeoutMs: 20000 }).catch(() => null);
    this.saw('acting');
    await sleep(300);
    await sleep(20); // what the connection has to say is heard in between
    if (acts() && !host.child.killed && !entry.aborted)
      run.effects.push(Date.now());
  }

  serve() {
    const { answers } = this.serving;
    const later = (ms, answer) => sleep(ms).then(() => answer);
    const sends = new Map();
    answers['agent.run'] = (request, _n, pid) => this.servingRun(request, this.made.hosts.find((host) => host.pid === pid));
    answers['message.send'] = (request) => {
      this.saw('send');
      const n = (sends.get(request.id) ?? 0) + 1;
      sends.set(request.id, n);
      const mood = [...request.id].reduce((sum, c) => sum + c.charCodeAt(0), 0) % 9;
      if (mood === 0 && n === 1)
        return { rc: RC.EBUSY };
      this.chat.push({ ...request, at: Date.now() });
      return later(mood * 3, { rc: RC.OK, reply: { message_id: '1' } });
    };
    answers['summary.make'] = (request) => later(30, { rc: RC.OK, reply: { text: `Summary of ${request.call}.` } });
    answers['transcript.append'] = (request) => {
      this.appended.push(request);
      return later(10, { rc: RC.OK, reply: {} });
    };
    answers['session.wake'] = (request) => {
      this.woken.push(request);
      return later(5, { rc: RC.OK, reply: {} });
    };
  }

  /* The agent lives in the host's process: what it does before the host allows it, or when that is dead, is not done. */
  async servingRun(request, host) {
    const run = this.runOf(request.request);
    const how = this.turnOf(run.word)?.run ?? { acts: false, beforeMs: 0, afterMs: 0 };
    run.asked.push(Date.now());
    this.saw('run');
    await sleep(how.beforeMs);
    if (how.acts) {
      const allowed = await this.serving.command(host, 'run.acting', { run: request.run }).catch(() => ({ error: 'gone' }));
      if (allowed.error || host.child.killed)
        return { rc: RC.EFAIL, reply: { error: 'not allowed' } };
      run.effects.push(Date.now());
      this.saw('acting');
    }
    await sleep(how.afterMs);
    return { rc: RC.OK, reply: { text: `Done is ${run.word} as you wished, and all is well.` } };
  }
}
