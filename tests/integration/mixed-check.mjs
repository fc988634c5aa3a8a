/* SPDX-License-Identifier: MIT */
/*
 * What must be true behind a life of a mixed load (mixed-load.mjs), by what its callers, the services and the clients of
 * the API saw: each function adds what is not true as a sentence.
 */
import fs from 'node:fs';
import path from 'node:path';
import { slower } from '../lib/util.mjs';
import { requestsOf } from './native-kit.mjs';

const SETTLE_MS = 1000 * slower; // what was told so shortly before a death need not be durable yet
const REPEAT = '(may be a repeat)\n';
const GREETING = 'Hello, this is your assistant.';
const LEG_MS = 5000 * slower; // a leg may outlive its call, or its last human, so long
const BACK_MS = 10000 * slower; // and so long behind a start
const REATTACH_MS = 15000 * slower;
const LATE_MS = 15000; // of a minute in which a call rings

class Check {
  constructor(life) {
    this.life = life;
    this.made = life.made;
    this.broken = [...life.faults];
    this.callers = life.plan.inbound.filter((item) => item.call);
  }

  that(good, text) {
    if (!good)
      this.broken.push(typeof text === 'function' ? text() : text);
    return good;
  }

  one(sql, ...args) {
    return this.made.rows(sql, ...args)[0];
  }

  /* Told so near to a death that it may be lost with it. */
  nearDeath(at) {
    return this.life.deaths.some((death) => at > death.from - SETTLE_MS && at < death.to);
  }

  forgotten(item) {
    const { forgot } = item;
    return forgot?.status === 200 || (forgot?.status === 404 && forgot.tries > 1);
  }

  /* ---- who calls ---- */

  webhooks() {
    for (const { name, call, voice } of this.callers) {
      const done = (action) => requestsOf(call, action).filter((r) => r.status === 200).length;
      const [accepts, rejects] = [done('accept'), done('reject')];
      const good = call.deliveries.filter((delivery) => delivery.status === 200);
      const taken = good.length > 0;
      const late = call.result.reason === 'unanswered' && good.every((delivery) => delivery.t > call.endedAt - LATE_MS);
      this.that(accepts + rejects <= 1, `${name} was accepted ${accepts} and rejected ${rejects} times`);
      this.that(!taken || accepts + rejects === 1 || call.result.reason === 'abandoned' || late,
        `${name} was acknowledged, and neither accepted nor rejected (${call.result.reason})`);
      this.that(taken || accepts + rejects === 0, `${name} was ${accepts ? 'accepted' : 'rejected'} and never acknowledged`);
      this.that(voice !== 'stranger' || accepts === 0, `${name}, a stranger, was accepted`);
      call.deliveries.filter(({ status }) => ![0, 200, 503].includes(status)).forEach(({ status, body }) =>
        this.broken.push(`a webhook of ${name} was answered ${status} ${body}`));
    }
  }

  attachments() {
    const { finalAt } = this.life;
    for (const call of this.made.openai.calls.values()) {
      const name = this.nameOf(call);
      const back = call.attachedAt.some((at) => at >= finalAt - 2000);
      this.that(call.most <= 1, `${name} had ${call.most} sidebands at a time`);
      this.that(!call.acceptedAt || call.acceptedAt > finalAt || back || call.endedAt < finalAt + REATTACH_MS + 5 * this.life.lagMs
        || call.attachedAt.length === 0, () => `${name} went on ${call.endedAt - finalAt} ms behind the last start and nobody was there`);
      // The model's own answer and one that we ask for can cross on the way; ours is then asked for again, behind it.
      this.that(call.activeResponseErrors <= call.attachments + 1,
        `${name}: ${call.activeResponseErrors} responses asked for while one was active`);
    }
  }

  nameOf(call) {
    return this.callers.find((item) => item.call === call)?.name ?? `the model's call ${call.callId}`;
  }

  talk() {
    for (const { name, call } of this.callers.filter((item) => item.call.acceptedAt)) {
      const greetings = call.turns.filter((turn) => turn.text.startsWith(GREETING)).length;
      this.that(greetings <= 1, `${name} was greeted ${greetings} times`);
      for (const tool of call.toolCalls.values())
        this.that(tool.outputs.length <= 1, () => `${name}: ${tool.name} has ${tool.outputs.length} outputs`);
    }
  }

  /* ---- what was said ---- */

  async history() {
    for (const call of [...this.made.openai.calls.values()].filter((one) => one.acceptedAt)) {
      const item = this.callers.find((one) => one.call === call);
      if (!item || this.forgotten(item))
        continue;
      const res = await this.life.ask(`/calls/${call.callId}/transcript`, { method: 'GET' });
      if (this.that(res?.status === 200, `${item.name} has no transcript: ${res?.status}`))
        this.conversation(item.name, call, res.json.turns);
    }
  }

  conversation(name, call, turns) {
    const stored = new Map(turns.map((turn) => [turn.item_id, turn]));
    this.that(stored.size === turns.length, `${name}: a turn stands there twice`);
    const has = (id, text, what) => {
      const kept = stored.get(id)?.text;
      this.that(kept !== undefined && (text.startsWith(kept) || kept.startsWith(text)),
        () => `${name}: "${text}" ${what}, kept is ${JSON.stringify(kept)}`);
    };
    for (const [id, text] of this.life.acknowledged.get(call) ?? [])
      has(id, text, 'was shown by the API');
    for (const { t: at, event, sent } of call.serverEvents) {
      if (!sent || this.nearDeath(at))
        continue;
      if (/transcription\.completed$/.test(event.type))
        has(event.item_id, event.transcript, `was said ${this.untilDeath(at)} ms before a death`);
      if (event.type === 'response.done') {
        event.response.output.filter((one) => one.type === 'message').forEach((one) =>
          has(one.id, one.content[0]?.transcript ?? '', `was told ${this.untilDeath(at)} ms before a death`));
      }
    }
    const order = call.conversation.items.map((one) => one.id);
    const places = turns.map((turn) => order.indexOf(turn.item_id));
    this.that(places.every((place, i) => i === 0 || places[i - 1] <= place), () => `${name}: not in order: ${
      turns.map((turn) => `${turn.who} "${turn.text}"`).join(', ')}`);
  }

  untilDeath(at) {
    return Math.min(...this.life.deaths.map((death) => death.from - at).filter((ms) => ms > 0));
  }

  /* ---- ends ---- */

  ends() {
    const told = Map.groupBy(this.made.hosts.flatMap((host) => host.events).filter((e) => e.event === 'call.ended'), (e) => e.call);
    for (const row of this.made.rows('SELECT id, reason, state, ended_at FROM call')) {
      if (this.life.lost.has(row.id))
        continue;
      this.that(row.state === 'over', `${row.id} is ${row.state}`);
      this.that(row.reason !== '', `${row.id} has no reason`);
      const ends = told.get(row.id) ?? []; // a death just behind the end may have taken the event with it
      this.that(ends.length > 0 || this.nearDeath(row.ended_at), `the end of ${row.id} was told to nobody`);
      this.that(ends.every((e) => e.reason === row.reason), () => `${row.id} is over for ${row.reason}, told was ${ends.map((e) => e.reason)}`);
    }
    for (const row of this.made.rows('SELECT call, phase, outcome FROM line')) {
      if (!this.life.lost.has(row.call))
        this.that(row.outcome !== '' && row.phase === 'completed', `the line of ${row.call} is ${row.phase}, outcome "${row.outcome}"`);
    }
    const still = [...this.made.openai.calls.values()].filter((call) => !call.over && this.life.lost.size === 0);
    still.forEach((call) => this.broken.push(`${this.nameOf(call)} is not over`));
  }

  /* Until when what was to end at `at` must have: a death on the way puts it off. */
  limit(at) {
    let limit = at + LEG_MS + 5 * this.life.lagMs;
    for (const death of this.life.deaths) {
      if (death.from <= limit && death.readyAt !== null && death.readyAt + BACK_MS + 5 * this.life.lagMs > limit)
        limit = death.readyAt + BACK_MS + 5 * this.life.lagMs;
    }
    return limit;
  }

  legs() {
    const { twilio } = this.made;
    const known = new Set(this.made.rows('SELECT sid FROM leg_sid').map((row) => row.sid));
    const rooms = Map.groupBy([...twilio.allLegs.values()].filter((leg) => leg.wasIn), (leg) => leg.wasIn);
    for (const [room, legs] of rooms) {
      const line = this.one('SELECT call, outcome, ended_at, machine FROM line WHERE ref = ?', room);
      if (!line || this.life.lost.has(line.call) || legs.some((leg) => !known.has(leg.sid)))
        continue; // one whose making nobody could tell of is looked for
      const humans = legs.filter((leg) => leg.phone && leg.answeredAt !== null);
      const alone = humans.length > 0 ? Math.max(...humans.map((leg) => leg.endedAt ?? Infinity)) : 0;
      for (const leg of legs) {
        const name = `${leg.phone ? leg.to : 'the model'} of ${line.call}`;
        if (line.ended_at > 0 && !(line.outcome === 'transferred' && leg.phone))
          this.that(leg.endedAt <= this.limit(line.ended_at), () => `${name} went on ${leg.endedAt - line.ended_at} ms behind the end`);
        if (alone > 0 && !leg.phone)
          this.that(leg.endedAt <= this.limit(alone), () => `${name} stayed alone for ${leg.endedAt - alone} ms`);
      }
    }
  }

  /* ---- what the API was asked for ---- */

  dials() {
    const { twilio } = this.made;
    for (const out of this.life.plan.outbound.filter((item) => item.answers)) {
      const rings = twilio.ringsOf(out.to);
      this.that(rings <= 1, `${out.name} rang ${rings} times`);
      const target = twilio.ringsOf(out.target.number);
      this.that(target <= 1, `the target of ${out.name} rang ${target} times`);
      const ids = new Set(out.answers.filter((a) => a?.status === 200).map((a) => a.json.call_id));
      this.that(out.answers.every((a) => a === null || a.status === 200), () => `${out.name} was answered ${
        out.answers.map((a) => `${a?.status} ${JSON.stringify(a?.json)}`)}`);
      this.that(ids.size <= 1, `${out.name}: one key, ${ids.size} calls`);
      const rows = this.made.rows('SELECT call, outcome, detail FROM line WHERE number = ?', out.to);
      this.that(rows.length === ids.size || rows.length <= 1, `${out.name} stands there ${rows.length} times`);
      this.that([...ids].every((id) => rows.some((row) => row.call === id)), `${out.name} was acknowledged and is gone`);
      this.dialled(out, rows[0], rings);
    }
    const others = this.made.twilio.numbersSeen().filter((number) => !this.planned().has(number));
    this.that(others.length === 0, `dialled, and asked for by nobody: ${others}`);
  }

  planned() {
    return new Set([...this.life.plan.outbound.flatMap((out) => [out.to, out.target.number]),
      ...this.life.plan.inbound.map((item) => item.from)]);
  }

  dialled(out, row, rings) {
    if (!row || this.life.lost.has(row.call))
      return;
    const wasEnded = out.deleted?.status === 200 || out.asked?.some((asked) => asked.verb === 'hangup');
    if (!['canceled', 'unconfirmed', 'expired', 'failed'].includes(row.outcome) && out.person !== 'busy')
      this.that(rings === 1, `${out.name} is ${row.outcome} and rang ${rings} times`);
    const unheard = row.outcome === 'failed' && /answered and ended before we heard/.test(row.detail);
    this.that(!wasEnded || unheard || ['canceled', 'answered', 'transferred', 'voicemail', 'interrupted'].includes(row.outcome),
      `${out.name} was to end and is ${row.outcome}: ${row.detail}`);
    const fits = { busy: ['busy'], declines: ['rejected', 'busy', 'no_answer'], nobody: ['no_answer'] }[out.person];
    this.that(!fits || [...fits, 'unconfirmed', 'canceled'].includes(row.outcome), `${out.name} (${out.person}) is ${row.outcome}`);
  }

  async actions() {
    for (const out of this.life.plan.outbound.filter((item) => item.asked?.length > 0)) {
      const res = await this.life.ask(`/calls/${out.id}/actions`, { method: 'GET' });
      const actions = new Map((res?.json?.actions ?? []).map((action) => [action.id, action]));
      for (const asked of out.asked)
        this.action(out, asked, actions);
    }
  }

  action(out, asked, actions) {
    const name = `${asked.verb} of ${out.name}`;
    const ids = new Set(asked.answers.filter((a) => a?.status === 202).map((a) => a.json.id));
    this.that(ids.size <= 1, `${name}: one key, ${ids.size} actions`);
    for (const id of ids) {
      const action = actions.get(id);
      if (!this.that(action, `${name} was acknowledged and is gone`) || this.life.lost.has(out.id))
        continue;
      this.that(['done', 'failed', 'uncertain', 'handed_over'].includes(action.state), `${name} is ${action.state}`);
      this.that(action.state !== 'failed' || action.error, `${name} failed, nobody says why`);
      this.that(asked.verb !== 'hangup' || action.state === 'done', `${name} is ${action.state}: ${action.error}`);
      this.effect(out, asked, action, name);
    }
  }

  /* How often it was done, as it was heard: by whom the keys were for; by all who were not on hold. */
  effect(out, asked, action, name) {
    const wanted = { dtmf: ['digits', asked.body.digits], announce: ['say', asked.body.text] }[asked.verb];
    if (!wanted)
      return;
    const legs = [...this.made.twilio.allLegs.values()].filter((leg) => (asked.verb === 'dtmf' ? leg.to === out.to : leg.sounds));
    const heard = legs.map((leg) => (leg.sounds ?? []).filter(({ kind, text }) => kind === wanted[0] && text.includes(wanted[1])).length);
    this.that(heard.every((n) => n <= 1), `${name} was done ${Math.max(...heard)} times`);
    this.that(action.state !== 'done' || heard.some((n) => n > 0), `${name} is done, and nobody heard it`);
  }

  /* ---- what is owed behind a call ---- */

  messages() {
    const byId = Map.groupBy(this.life.chat, (message) => message.id);
    for (const [id, sent] of byId) {
      const texts = sent.map((message) => message.text);
      const plain = texts.filter((text) => !text.startsWith(REPEAT)).length;
      this.that(plain <= 1 && texts.length - plain <= 1, () => `${id} was sent ${texts.length} times, ${texts.length - plain
      } of them marked as repeats: ${texts[0].slice(0, 60)}`);
      this.that(new Set(texts.map((text) => text.replace(REPEAT, ''))).size === 1, `${id} was sent with other words`);
    }
    for (const row of this.made.rows('SELECT id, kind, state, error FROM outbox')) {
      if (['handoff', 'told', 'late', 'missed'].includes(row.kind) && row.state === 'done')
        this.that(byId.has(row.id), `${row.kind} ${row.id} is said to be sent, and never was`);
      this.that(row.state !== 'failed' || !this.life.serving || row.error, `${row.kind} ${row.id} failed, nobody says why`);
    }
  }

  async handoffs() {
    const list = (await this.life.ask('/handoffs', { method: 'GET' }))?.json?.handoffs ?? [];
    for (const item of this.callers.filter((one) => one.handoff?.status === 202 && !this.forgotten(one))) {
      const found = list.find((one) => one.id === item.handoff.json.id);
      if (!this.that(found, `the handoff of ${item.name} was acknowledged and is gone`))
        continue;
      if (!this.life.serving) {
        this.that(found.state !== 'delivered', `the handoff of ${item.name} is delivered, by nobody`);
        continue;
      }
      this.that(['delivered', 'failed', 'uncertain'].includes(found.state), `the handoff of ${item.name} is ${found.state}`);
      const sent = this.life.chat.some((message) => message.id === found.id);
      this.that(sent || found.state !== 'delivered', `the handoff of ${item.name} is delivered, and was never sent`);
      this.that(found.state !== 'failed', `the handoff of ${item.name} failed: ${found.error}`);
    }
  }

  reports() {
    for (const out of this.life.plan.outbound.filter((item) => item.report && item.id && this.life.serving)) {
      if (this.life.lost.has(out.id))
        continue;
      const sent = this.life.chat.filter((message) => message.to === `9${out.n}` && message.text.includes(`(${out.id}, outcome`));
      const { state } = this.one('SELECT state FROM outbox WHERE call = ? AND kind = \'told\'', out.id) ?? { state: 'none' };
      this.that(sent.length > 0 || state === 'uncertain', `how ${out.name} ended was told to nobody (${state})`);
    }
  }

  sessions() {
    const seen = new Map(); // of each turn the words that went into a session last
    for (const request of this.life.appended)
      request.turns.forEach((turn) => seen.set(`${request.call} ${turn.entry_id}`, turn.text));
    for (const row of this.made.rows('SELECT call FROM outbox WHERE kind = \'transcript\' AND state = \'done\'')) {
      const turns = this.made.rows('SELECT text FROM turn WHERE call = ? AND text <> \'\'', row.call);
      const told = [...seen].filter(([key]) => key.startsWith(`${row.call} `)).map(([, text]) => text);
      turns.forEach(({ text }) => this.that(told.some((one) => one.includes(text) || text.includes(one)),
        `"${text}" of ${row.call} is said to stand in the session, and does not`));
      this.that(told.length <= turns.length, `${row.call}: ${told.length} turns in the session, ${turns.length} of the call`);
    }
  }

  memory() {
    const dir = path.join(this.made.hosts[0].dir, 'workspace', 'memory');
    const files = fs.existsSync(dir) ? fs.readdirSync(dir, { recursive: true }).filter((name) => name.endsWith('.md')) : [];
    this.sections = files.map((name) => ({ name, text: fs.readFileSync(path.join(dir, name), 'utf8') }));
    for (const { id } of this.made.rows('SELECT id FROM call')) {
      for (const { name, text } of this.sections) {
        const n = text.split(`<!-- voice:call ${id} end -->`).length - 1;
        this.that(n <= 1, `${id} stands ${n} times in ${name}`);
      }
    }
    for (const { call } of this.made.rows('SELECT call FROM outbox WHERE kind = \'files\' AND state = \'done\''))
      this.that(this.sections.some(({ text }) => text.includes(`voice:call ${call} end`)), `${call} is said to stand in a memory file`);
  }

  /* ---- the agent ---- */

  runs() {
    const tools = [...this.made.openai.calls.values()].flatMap((call) => [...call.toolCalls.values()]);
    for (const { word, asked, effects } of this.life.runs.values()) {
      const wanted = Math.max(1, tools.filter((tool) => tool.arguments.includes(word)).length); // the model may ask twice
      this.that(effects.length <= wanted, `${word} was done ${effects.length} times, asked for by the model ${wanted} times`);
      const [first] = effects;
      this.that(first === undefined || wanted > 1 || asked.every((at) => at <= first), `${word} was asked for again when it was done`);
    }
    for (const { name, call } of this.callers) {
      for (const tool of [...call.toolCalls.values()].filter((one) => one.name === 'ask_openclaw' && one.outputs.length > 0)) {
        const word = /q\d+x\d+/.exec(tool.arguments)?.[0];
        const said = /Done is (q\d+x\d+)/.exec(tool.outputs[0])?.[1];
        this.that(said === undefined || said === word, `${name}: ${word} was answered with ${said}`);
        const how = this.life.turnOf(word)?.run;
        if (said && this.life.serving && how?.acts)
          this.that(this.life.runs.get(word)?.effects.length > 0, `${name}: ${word} is told as done, and was not`);
      }
    }
  }

  /* ---- people ---- */

  async edits() {
    for (const item of this.callers.filter((one) => one.edits.length > 0 && one.call.acceptedAt)) {
      if (this.forgotten(item)) {
        this.gone(item);
        continue;
      }
      const res = await this.life.ask(`/callers/${encodeURIComponent(item.from)}`, { method: 'GET' });
      this.that(item.notes === undefined || res?.json?.notes === item.notes, () => `the notes of ${item.name} are ${
        JSON.stringify(res?.json?.notes)}, acknowledged was "${item.notes}"`);
      if (item.linked) {
        const has = JSON.stringify(res?.json ?? {}).includes(item.linked.identity);
        this.that(has === item.linked.is, `${item.name} and ${item.linked.identity}: linked ${has}, acknowledged ${item.linked.is}`);
      }
    }
  }

  gone(item) {
    const rows = this.one('SELECT (SELECT count(*) FROM call WHERE number = ?1) + (SELECT count(*) FROM caller WHERE number = ?1)'
      + ' AS n', item.from).n;
    this.that(rows === 0, `${item.name} was forgotten, and ${rows} rows are left`);
    for (const { name, text } of this.sections ?? [])
      this.that(!item.ours || !text.includes(item.ours), `${item.name} was forgotten, and stands in ${name}`);
  }

  /* ---- recordings ---- */

  recordings() {
    for (const out of this.life.plan.outbound.filter((item) => item.record && item.id && !this.life.lost.has(item.id))) {
      const made = [...this.made.twilio.recordings.values()].filter((one) => one.leg.to === out.to);
      this.that(made.length <= 1, `${out.name} was recorded ${made.length} times`);
      const state = this.one('SELECT state FROM recording WHERE call = ?', out.id)?.state ?? 'none';
      this.that((state === 'stored') === (made.length === 1), `${out.name}: ${made.length} recordings at the carrier, here ${state}`);
    }
  }

  /* ---- the database, and what the simulators found fault with ---- */

  sound() {
    this.that(this.one('PRAGMA integrity_check').integrity_check === 'ok', 'the database is damaged');
    this.that(this.made.rows('PRAGMA foreign_key_check').length === 0, 'rows of nothing');
    this.made.openai.violations.forEach(({ text }) => this.broken.push(`OpenAI: ${text}`));
    this.made.twilio.violations.forEach(({ text }) => this.broken.push(`Twilio: ${text}`));
    (this.made.gateway?.violations ?? []).forEach(({ text }) => this.broken.push(`gateway: ${text}`));
    for (const host of this.made.hosts) {
      const forgot = this.callers.some((item) => item.forgot); // whose rows go while they are in use
      host.stderr.text.split('\n').filter((line) => /Z error: /.test(line) || (!forgot && line.includes('a row was not stored')))
        .forEach((line) => this.broken.push(`log: ${line}`));
    }
  }
}

/**
 * Looks at all of it; the host still runs.
 * @returns {Promise<string[]>} what is not true
 */
export async function brokenOf(life) {
  const check = new Check(life);
  for (const part of ['webhooks', 'attachments', 'talk', 'history', 'ends', 'legs', 'dials', 'actions', 'messages', 'handoffs',
    'reports', 'sessions', 'memory', 'runs', 'edits', 'recordings', 'sound']) {
    try {
      await check[part]();
    } catch (error) {
      check.broken.push(`${part}: ${error.stack}`);
    }
  }
  return check.broken;
}
