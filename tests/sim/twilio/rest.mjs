/* SPDX-License-Identifier: MIT */
/*
 * The REST side: forms in, JSON out, Basic authentication. Faults (sim.faults, by operation, or '*'):
 * one rule or an array, used up in order:
 *   { times = 1, match(entry), status, code, afterMs, reset, never, cut, apply }
 *   status (429: code 20429 …) instead of doing it; afterMs: so late; reset: the connection is cut;
 *   never: no answer; cut: half an answer. apply: it is done all the same, the answer alone is lost.
 *   An entry is {op, params, ids, …} as in sim.requests.
 * Operations: calls.{create,list,fetch,update}, calls.recordings.{create,list,fetch,update},
 * conferences.{list,fetch,update}, participants.{create,list,fetch,update,delete},
 * recordings.{list,fetch,delete,media}, incoming_phone_numbers.{list,fetch,update}, outgoing_caller_ids.list,
 * accounts.fetch;
 * and 'sip' ({status}: the INVITE to OpenAI fails with this SIP code).
 */
import { readBody, resetSocket, sendJson, sleep } from '../server.mjs';
import { requestFaults, responseFaults, valueFaults } from './check.mjs';
import { isCallSid, isE164 } from './ids.mjs';
import { sipFault } from './model.mjs';
import { Recording } from './recording.mjs';
import { accountJson, callJson, conferenceJson, numberJson, pageJson, participantJson, recordingJson }
  from './resources.mjs';
import { runTwiml } from './run.mjs';

class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

const notFound = () => new ApiError(404, 20404, 'The requested resource was not found');
const ok = (body, status = 200) => ({ status, body });

function errorBody({ status, code, message }) {
  return { code, message, more_info: `https://www.twilio.com/docs/errors/${code}`, status };
}

/** A callback of request parameters: names are prefix+'StatusCallback' etc. */
function callbackOf(params, prefix, fallback) {
  const url = params[`${prefix}StatusCallback`];
  return url ? { url, method: params[`${prefix}StatusCallbackMethod`] ?? 'POST',
    events: [params[`${prefix}StatusCallbackEvent`] ?? fallback].flat().flatMap((e) => e.split(' ')) } : null;
}

/* ---- calls ---- */

function legOf(sim, sid) {
  const leg = sim.allLegs.get(sid);
  if (!leg)
    throw notFound();
  return leg;
}

function checkTo(sim, to) {
  if (!to)
    throw new ApiError(400, 21201, "No 'To' number is specified");
  if (/^sips?:/.test(to)) {
    const fault = sipFault(to);
    if (fault)
      throw new ApiError(400, fault.code, fault.message);
    return;
  }
  if (!isE164(to))
    throw new ApiError(400, 21211, `The 'To' number ${to} is not a valid phone number.`);
  const refused = sim.people.get(to)?.next.refused;
  if (refused)
    throw new ApiError(400, refused, `The number ${to} may not be called (${refused}).`);
}

function checkFrom(sim, from, to) {
  if (!from)
    throw new ApiError(400, 21213, "No 'From' number is specified");
  if (/^sips?:/.test(to))
    return;
  if (!isE164(from))
    throw new ApiError(400, 21212, `The 'From' number ${from} is not a valid phone number.`);
  if (!sim.numbers.has(from))
    throw new ApiError(400, 21210, `The source number ${from} is not yet verified for your account.`);
}

function amdOf(params, async) {
  if (!params.MachineDetection || params.SendDigits)
    return null;
  const prefix = async ? 'AsyncAmd' : 'Amd';
  return { mode: params.MachineDetection, url: params[`${prefix}StatusCallback`],
    method: params[`${prefix}StatusCallbackMethod`] ?? 'POST' };
}

const notSimulated = ['Record', 'ConferenceRecord', 'ApplicationSid', 'Byoc', 'ClientNotificationUrl'];

/* What a leg that is dialled by the API has in common, checked. */
function legOptions(sim, params) {
  notSimulated.filter((name) => name in params)
    .forEach((name) => sim.violation(`${name} is not simulated`));
  checkTo(sim, params.To);
  checkFrom(sim, params.From, params.To);
  const timeoutS = Number(params.Timeout ?? 60);
  if (timeoutS < 5 || timeoutS > 600)
    throw new ApiError(400, 21208, 'Timeout is not between 5 and 600');
  return { to: params.To, from: params.From, direction: 'outbound-api', timeoutS,
    timeLimitS: params.TimeLimit ? Number(params.TimeLimit) : null, sendDigits: params.SendDigits,
    callback: callbackOf(params, '', 'completed') };
}

function createCall(sim, { params }) {
  const source = params.Url ? { url: params.Url, method: params.Method, fallbackUrl: params.FallbackUrl,
    fallbackMethod: params.FallbackMethod } : { twiml: params.Twiml };
  if (!params.Url && params.Twiml === undefined)
    throw new ApiError(400, 21205, 'Url or Twiml is required');
  if ((params.Twiml ?? '').length > 4000)
    throw new ApiError(400, 32018, 'Twiml is longer than 4000 characters');
  const later = params.AsyncAmd === 'true';
  const amd = amdOf(params, later);
  const options = legOptions(sim, params);
  const leg = sim.originate({ ...options, amd, onAnswer: async (task) => {
    if (amd && !later) {
      await task.race(new Promise((resolve) => { leg.once('detected', resolve); }));
      source.params = { AnsweredBy: leg.answeredBy };
    }
    await runTwiml(leg, task, source);
  } });
  return ok(callJson(sim, leg), 201);
}

function endCall(leg, status) {
  if (leg.over || (status === 'canceled' && leg.up))
    throw new ApiError(400, 21220, `Call is ${leg.status}. Cannot be ${status}.`);
  leg.end(leg.up ? 'completed' : 'canceled');
}

function updateCall(sim, { params, ids }) {
  const leg = legOf(sim, ids[0]);
  if (params.Url !== undefined && params.Twiml !== undefined)
    throw new ApiError(400, 21218, 'Url and Twiml are mutually exclusive');
  if (params.StatusCallback)
    leg.callback = callbackOf({ StatusCallbackEvent: leg.callback?.events, ...params }, '', 'completed');
  if (params.Status) {
    endCall(leg, params.Status);
  } else if (params.Url ?? params.Twiml) {
    if (!leg.up)
      throw new ApiError(400, 21220, 'Call is not in-progress. Cannot redirect.');
    const source = params.Url ? { url: params.Url, method: params.Method, fallbackUrl: params.FallbackUrl,
      fallbackMethod: params.FallbackMethod } : { twiml: params.Twiml };
    leg.perform((task) => runTwiml(leg, task, source));
  }
  return ok(callJson(sim, leg));
}

function listCalls(sim, { params, path }) {
  const found = [...sim.allLegs.values()].reverse().filter((leg) => (!params.To || leg.to === params.To)
    && (!params.From || leg.from === params.From) && (!params.Status || leg.status === params.Status)
    && (!params.ParentCallSid || leg.parent?.sid === params.ParentCallSid));
  return ok(pageJson(path, params, 'calls', found.map((leg) => callJson(sim, leg))));
}

/* ---- conferences ---- */

function conferenceOf(sim, key) {
  const found = sim.conferences.find((c) => c.sid === key);
  if (!found)
    throw notFound();
  return found;
}

function listConferences(sim, { params, path }) {
  const found = sim.conferences.toReversed().filter((c) => (!params.Status || c.status === params.Status)
    && (params.FriendlyName === undefined || c.friendlyName === params.FriendlyName));
  return ok(pageJson(path, params, 'conferences', found.map((c) => conferenceJson(sim, c))));
}

function updateConference(sim, { params, ids }) {
  const conference = conferenceOf(sim, ids[0]);
  if (conference.over && params.AnnounceUrl)
    throw new ApiError(400, 21220, 'The conference is over');
  if (params.AnnounceUrl)
    sim.inBackground(conference.announce(params.AnnounceUrl, params.AnnounceMethod));
  if (params.Status === 'completed')
    conference.end('conference-ended-via-api');
  return ok(conferenceJson(sim, conference));
}

/* ---- participants ---- */

function participantOf(sim, [conferenceSid, key]) {
  const found = conferenceOf(sim, conferenceSid).find(key);
  if (!found)
    throw notFound();
  return found;
}

function checkLabel(label) {
  if (label !== undefined && (label.length > 128 || label === '' || /\/|%2f/i.test(label) || isCallSid(label)))
    throw new ApiError(400, 16024, 'Invalid participant label');
}

function participantOptions(params) {
  const flag = (name, fallback) => (params[name] ?? String(fallback)) === 'true';
  return { label: params.Label ?? null, muted: flag('Muted', false),
    startOnEnter: flag('StartConferenceOnEnter', true), endOnExit: flag('EndConferenceOnExit', false),
    beep: params.Beep ?? 'true', waitUrl: params.WaitUrl ?? null, waitMethod: params.WaitMethod,
    coaching: flag('Coaching', false), coach: params.CallSidToCoach ?? null,
    callback: callbackOf(params, 'Conference', 'start end') };
}

/* A participant's leg: joins, stays until it is taken out, and hangs up. */
function stay(leg, participant, early) {
  const { conference } = participant;
  leg.onAnswer = async (task) => {
    conference.join(participant);
    if (!conference.over)
      await task.race(participant.left);
    leg.end('completed');
  };
  if (!early)
    return;
  leg.on('status', () => leg.status === 'ringing' && conference.join(participant));
  participant.left.then(() => !leg.up && leg.end('canceled'));
}

function createParticipant(sim, { params, ids }) {
  checkLabel(params.Label);
  const options = legOptions(sim, params);
  const named = /^CF[0-9a-f]{32}$/.test(ids[0]) ? conferenceOf(sim, ids[0]) : sim.roomNamed(ids[0], false);
  if (named?.over)
    throw new ApiError(400, 21220, 'The conference is over');
  if (params.Label && named?.find(params.Label))
    throw new ApiError(400, 16026, 'Participant label is in use by another participant');
  if (params.MachineDetection && !params.AmdStatusCallback)
    throw new ApiError(400, 21262, 'AmdStatusCallback is required with MachineDetection');
  const conference = named ?? sim.roomNamed(ids[0], true);
  const leg = sim.originate({ ...options, amd: amdOf(params, false), lateDial: true });
  const participant = conference.list(leg, participantOptions(params));
  stay(leg, participant, params.EarlyMedia !== 'false');
  sim.inBackground(leg.life.run(() => leg.dial(), () => {}));
  return ok(participantJson(sim, participant), 201);
}

function updateParticipant(sim, { params, ids }) {
  const participant = participantOf(sim, ids);
  const { conference } = participant;
  if (params.Muted !== undefined)
    conference.setMuted(participant, params.Muted === 'true');
  if (params.Hold !== undefined)
    conference.setHold(participant, params.Hold === 'true', params.HoldUrl ?? null, params.HoldMethod);
  if (params.EndConferenceOnExit !== undefined)
    participant.endOnExit = params.EndConferenceOnExit === 'true';
  if (params.BeepOnExit !== undefined)
    participant.beep = params.BeepOnExit === 'true' ? 'onExit' : 'false';
  if (params.Coaching !== undefined)
    participant.coaching = params.Coaching === 'true';
  if (params.AnnounceUrl)
    sim.inBackground(conference.announce(params.AnnounceUrl, params.AnnounceMethod, participant));
  participant.updatedAt = Date.now();
  if (['EndConferenceOnExit', 'BeepOnExit', 'Coaching'].some((name) => params[name] !== undefined))
    conference.tell('participant-modify', {}, participant);
  return ok(participantJson(sim, participant));
}

function deleteParticipant(sim, { ids }) {
  const participant = participantOf(sim, ids);
  const { leg } = participant;
  participant.conference.leave(participant, 'participant_updated_via_api', true);
  if (!leg.up)
    leg.end('canceled');
  return ok(null, 204);
}

function listParticipants(sim, { params, ids, path }) {
  const conference = conferenceOf(sim, ids[0]);
  const found = conference.participants.filter((p) => (!params.Muted || String(p.muted) === params.Muted)
    && (!params.Hold || String(p.hold) === params.Hold));
  return ok(pageJson(path, params, 'participants', found.map((p) => participantJson(sim, p))));
}

/* ---- recordings ---- */

function recordingOf(sim, sid, callSid = null) {
  const list = [...sim.recordings.values()].filter((r) => !r.deleted && (!callSid || r.leg.sid === callSid));
  const found = sid === 'Twilio.CURRENT' ? list.find((r) => r.running) : list.find((r) => r.sid === sid);
  if (!found)
    throw notFound();
  return found;
}

function createRecording(sim, { params, ids }) {
  const leg = legOf(sim, ids[0]);
  if (!leg.up)
    throw new ApiError(400, 21220, 'Requested resource is not eligible for recording');
  const recording = new Recording(sim, leg, { channels: params.RecordingChannels === 'dual' ? 2 : 1,
    track: params.RecordingTrack ?? 'both', callback: callbackOf(params, 'Recording', 'completed') });
  return ok(recordingJson(sim, recording, true), 201);
}

function updateRecording(sim, { params, ids }) {
  const recording = recordingOf(sim, ids[1], ids[0]);
  if (!recording.running)
    throw new ApiError(400, 21220, 'The recording is over');
  if (params.Status === 'paused')
    recording.pause(params.PauseBehavior === 'skip');
  else if (params.Status === 'in-progress')
    recording.resume();
  else if (params.Status === 'stopped')
    recording.stop();
  return ok(recordingJson(sim, recording, true));
}

function listRecordings(sim, { params, ids, path }) {
  const of = ids[0] ?? params.CallSid;
  const found = [...sim.recordings.values()].filter((r) => !r.deleted && (!of || r.leg.sid === of));
  return ok(pageJson(path, params, 'recordings', found.map((r) => recordingJson(sim, r, ids.length > 0))));
}

function media(sim, { params, ids }) {
  const recording = recordingOf(sim, ids.at(-1).replace(/\.wav$/, ''));
  if (recording.status !== 'completed')
    throw notFound();
  const channels = Number(params.RequestedChannels ?? 1);
  if (channels > recording.channels)
    throw new ApiError(400, 21220, 'The recording has one channel');
  return { status: 200, body: recording.file(channels), type: 'audio/x-wav' };
}

function deleteRecording(sim, { ids }) {
  recordingOf(sim, ids[0]).deleted = true;
  return ok(null, 204);
}

/* ---- numbers ---- */

function numberOf(sim, sid) {
  const found = [...sim.numbers.values()].find((n) => n.sid === sid);
  if (!found)
    throw notFound();
  return found;
}

const numberFields = { VoiceUrl: 'voiceUrl', VoiceMethod: 'voiceMethod', VoiceFallbackUrl: 'voiceFallbackUrl',
  VoiceFallbackMethod: 'voiceFallbackMethod', StatusCallback: 'statusCallback',
  StatusCallbackMethod: 'statusCallbackMethod' };

function updateNumber(sim, { params, ids }) {
  const number = numberOf(sim, ids[0]);
  for (const [name, field] of Object.entries(numberFields)) {
    if (params[name] !== undefined)
      number[field] = params[name];
  }
  number.updatedAt = Date.now();
  return ok(numberJson(sim, number));
}

function listNumbers(sim, { params, path }) {
  const found = [...sim.numbers.values()].filter((n) => !params.PhoneNumber
    || n.number === params.PhoneNumber);
  return ok(pageJson(path, params, 'incoming_phone_numbers', found.map((n) => numberJson(sim, n))));
}

/* Numbers that are not the account's, but whose owner has shown that they may use them. */
function listCallerIds(sim, { params, path }) {
  const found = sim.callerIds.filter((number) => !params.PhoneNumber || number === params.PhoneNumber);
  return ok(pageJson(path, params, 'outgoing_caller_ids', found.map((number) => ({ sid: `PN${'0'.repeat(32)}`,
    account_sid: sim.accountSid, friendly_name: number, phone_number: number }))));
}

const id = '([^/]+)';
const routes = [
  ['GET', '', 'accounts.fetch', (sim) => ok(accountJson(sim))],
  ['POST', '/Calls', 'calls.create', createCall],
  ['GET', '/Calls', 'calls.list', listCalls],
  ['GET', `/Calls/${id}`, 'calls.fetch', (sim, { ids }) => ok(callJson(sim, legOf(sim, ids[0])))],
  ['POST', `/Calls/${id}`, 'calls.update', updateCall],
  ['POST', `/Calls/${id}/Recordings`, 'calls.recordings.create', createRecording],
  ['GET', `/Calls/${id}/Recordings`, 'calls.recordings.list', listRecordings],
  ['POST', `/Calls/${id}/Recordings/${id}`, 'calls.recordings.update', updateRecording],
  ['GET', `/Calls/${id}/Recordings/${id}`, 'calls.recordings.fetch',
    (sim, { ids }) => ok(recordingJson(sim, recordingOf(sim, ids[1], ids[0]), true))],
  ['GET', '/Conferences', 'conferences.list', listConferences],
  ['GET', `/Conferences/${id}`, 'conferences.fetch',
    (sim, { ids }) => ok(conferenceJson(sim, conferenceOf(sim, ids[0])))],
  ['POST', `/Conferences/${id}`, 'conferences.update', updateConference],
  ['POST', `/Conferences/${id}/Participants`, 'participants.create', createParticipant],
  ['GET', `/Conferences/${id}/Participants`, 'participants.list', listParticipants],
  ['GET', `/Conferences/${id}/Participants/${id}`, 'participants.fetch',
    (sim, { ids }) => ok(participantJson(sim, participantOf(sim, ids)))],
  ['POST', `/Conferences/${id}/Participants/${id}`, 'participants.update', updateParticipant],
  ['DELETE', `/Conferences/${id}/Participants/${id}`, 'participants.delete', deleteParticipant],
  ['GET', '/Recordings', 'recordings.list', listRecordings],
  ['GET', `/Recordings/${id}`, 'recordings.fetch',
    (sim, { ids }) => ok(recordingJson(sim, recordingOf(sim, ids[0]), false))],
  ['DELETE', `/Recordings/${id}`, 'recordings.delete', deleteRecording],
  ['GET', '/IncomingPhoneNumbers', 'incoming_phone_numbers.list', listNumbers],
  ['GET', `/IncomingPhoneNumbers/${id}`, 'incoming_phone_numbers.fetch',
    (sim, { ids }) => ok(numberJson(sim, numberOf(sim, ids[0])))],
  ['POST', `/IncomingPhoneNumbers/${id}`, 'incoming_phone_numbers.update', updateNumber],
  ['GET', '/OutgoingCallerIds', 'outgoing_caller_ids.list', listCallerIds],
].map(([method, path, op, handle]) => ({ method, op, handle, path: new RegExp(`^${path}\\.json$`) }));
const mediaRoute = { method: 'GET', op: 'recordings.media', handle: media,
  path: new RegExp(`^(?:/Calls/${id})?/Recordings/([^/]+?(?:\\.wav)?)$`) };

/* The operation of a request: {op, handle, ids}, or null. */
function routeOf(method, path) {
  for (const route of [...routes, mediaRoute]) {
    const m = route.method === method ? route.path.exec(path) : null;
    if (m)
      return { ...route, ids: m.slice(1).filter((x) => x !== undefined).map(decodeURIComponent) };
  }
  return null;
}

/** A form or a query as an object; a name that is repeated gives an array. */
export function readForm(text) {
  const out = {};
  for (const [name, value] of new URLSearchParams(text))
    out[name] = name in out ? [out[name], value].flat() : value;
  return out;
}

function authorized(sim, req) {
  const [scheme, value] = (req.headers.authorization ?? '').split(' ');
  const given = scheme === 'Basic' ? Buffer.from(value ?? '', 'base64').toString('utf8') : '';
  const tokens = [sim.authToken, ...sim.otherTokens].map((token) => `${sim.accountSid}:${token}`);
  return [...tokens, sim.apiKey && `${sim.apiKey.sid}:${sim.apiKey.secret}`]
    .some((wanted) => wanted && given === wanted);
}

function checkForm(sim, entry, req) {
  const { op, method, params } = entry;
  if (method === 'POST' && !/^application\/x-www-form-urlencoded/.test(req.headers['content-type'] ?? ''))
    throw new ApiError(415, 20415, 'The content type is not a form');
  const wrong = [...requestFaults(op, method === 'GET', params), ...valueFaults(op, params)];
  if (wrong.length === 0 || !sim.validate)
    return;
  sim.violation(`${op}: ${wrong.join('; ')}`, params);
  throw new ApiError(400, 20001, `Invalid parameter: ${wrong.join('; ')}`);
}

/* Does what was asked. */
function perform(sim, entry, req) {
  try {
    if (!authorized(sim, req))
      throw new ApiError(401, 20003, 'Authenticate');
    if (!entry.route || entry.account !== sim.accountSid)
      throw notFound();
    checkForm(sim, entry, req);
    const reply = entry.route.handle(sim, entry);
    const wrong = sim.validate && reply.body && !reply.type
      ? responseFaults(entry.op, reply.status, reply.body) : [];
    if (wrong.length > 0)
      sim.violation(`sent ${entry.op}: ${wrong.join('; ')}`, reply.body);
    entry.sid = reply.body?.sid ?? reply.body?.call_sid ?? null;
    return reply;
  } catch (error) {
    if (!(error instanceof ApiError))
      throw error;
    return { status: error.status, body: errorBody(error) };
  }
}

function answer(res, { status, body, type }) {
  if (res.destroyed || res.writableEnded)
    return;
  if (body === null || type) {
    res.writeHead(status, body ? { 'content-type': type, 'content-length': body.length } : {});
    res.end(body);
  } else {
    sendJson(res, status, body, { 'twilio-concurrent-requests': '1' });
  }
}

async function fail(res, rule, entry, act) {
  const done = rule.apply ? act() : null;
  if (rule.afterMs)
    await sleep(rule.afterMs);
  entry.fault = rule;
  if (rule.never)
    return;
  if (rule.reset || (rule.apply && !rule.status && !rule.cut && !rule.afterMs)) {
    resetSocket(res.socket);
  } else if (rule.cut) {
    res.socket.write('HTTP/1.1 201 CREATED\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{"sid');
    setTimeout(() => res.socket && resetSocket(res.socket), 10);
  } else {
    const reply = rule.status ? { status: rule.status, body: errorBody({ status: rule.status,
      code: rule.code ?? 20000 + rule.status, message: rule.message ?? 'Simulated fault' }) } : done ?? act();
    entry.status = reply.status;
    answer(res, reply);
  }
}

/** Handles one request. */
export async function handleRest(sim, req, res) {
  const url = new URL(req.url, sim.origin);
  const raw = await readBody(req);
  if (raw === null)
    return;
  const form = raw.toString('utf8');
  const m = /^\/2010-04-01\/Accounts\/([^/.]+)(.*)$/.exec(url.pathname);
  const route = m ? routeOf(req.method, m[2]) : null;
  const entry = { t: Date.now(), method: req.method, path: url.pathname, account: m?.[1] ?? null,
    op: route?.op ?? null, ids: route?.ids ?? [], params: readForm(req.method === 'GET' ? url.search : form),
    headers: req.headers, status: null };
  Object.defineProperty(entry, 'route', { value: route });
  sim.requests.push(entry);
  sim.sawRequest(entry);
  sim.emit('request', entry);
  if (!route)
    sim.violation(`no such operation: ${req.method} ${req.url}`);
  const act = () => perform(sim, entry, req);
  const rule = route ? sim.takeFault(route.op, entry) : null;
  if (rule) {
    await fail(res, rule, entry, act);
    return;
  }
  const reply = act();
  entry.status = reply.status;
  answer(res, reply);
}
