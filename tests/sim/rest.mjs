/* SPDX-License-Identifier: MIT */
// The REST side of the service: accept, reject, refer, hangup, models, client secrets.
import { performance } from 'node:perf_hooks';
import { readBody, resetSocket, sendJson, sleep } from './server.mjs';
import { restBodyFaults, secretAnswerFaults, secretFaults } from './schema.mjs';
import { takeFault } from './faults.mjs';
import { newId } from './ids.mjs';

/* What the Calls API refuses although the session schema has it. */
const sipRefuses = ['threshold', 'prefix_padding_ms', 'silence_duration_ms'];

/** The error envelope. */
export function envelope(status, message, code = null, param = null) {
  const type = status === 429 ? 'rate_limit_error' : status >= 500 ? 'server_error'
    : 'invalid_request_error';
  return { status, body: { error: { message, type, code, param } } };
}

export const notFound = () => envelope(404, 'No session found for the provided call_id',
  'call_id_not_found');

const unauthorized = () => envelope(401, 'Incorrect API key provided.', 'invalid_api_key');

const done = { status: 200, body: null };

/** True when the request carries the API key. */
export function authorized(sim, req) {
  return req.headers.authorization === `Bearer ${sim.apiKey}`;
}

function checkSession(sim, call, body) {
  if (body === null || typeof body !== 'object' || Array.isArray(body))
    return envelope(400, 'We could not parse the JSON body of your request.');
  if (body.type === undefined)
    return envelope(400, "Missing required parameter: 'session.type'.",
      'missing_required_parameter', 'session.type');
  for (const name of sipRefuses) {
    if (body.audio?.input?.turn_detection?.[name] !== undefined) {
      const param = `session.audio.input.turn_detection.${name}`;
      sim.violation(call, `accept: Unknown parameter ${param}`, body);
      return envelope(400, `Unknown parameter: '${param}'.`, 'unknown_parameter', param);
    }
  }
  if (body.audio?.input?.format !== undefined || body.audio?.output?.format !== undefined)
    sim.violation(call, 'accept: an audio format on a SIP session distorts the audio', body);
  return null;
}

function bodyFaults(sim, call, action, body) {
  const faults = call.checked ? restBodyFaults(action, body) : [];
  if (faults.length > 0)
    sim.violation(call, `${action}: ${faults.join('; ')}`, body);
  return faults.length === 0 ? null : envelope(400, `Invalid request: ${faults.join('; ')}`);
}

function accept(sim, call, body) {
  const wrong = checkSession(sim, call, body) ?? bodyFaults(sim, call, 'accept', body);
  if (wrong)
    return wrong;
  if (call.state === 'live') {
    call.acceptedAgain = (call.acceptedAgain ?? 0) + 1;
    return envelope(400, 'The call has already been accepted.', 'call_already_accepted');
  }
  call.accept(body);
  return done;
}

function reject(sim, call, body) {
  const wrong = bodyFaults(sim, call, 'reject', body ?? {});
  if (wrong)
    return wrong;
  if (call.state !== 'pending')
    return envelope(400, 'The call is not pending.', 'call_not_pending');
  call.end('rejected', 'client', { sipCode: body?.status_code ?? 603 });
  return done;
}

function refer(sim, call, body) {
  const wrong = bodyFaults(sim, call, 'refer', body);
  if (wrong)
    return wrong;
  if (call.state !== 'live')
    return notFound();
  if (!/^(tel:\+[0-9]{2,15}|sips?:\S+)$/.test(body.target_uri))
    return envelope(400, 'Invalid target_uri.', 'invalid_value', 'target_uri');
  call.refers.push(body.target_uri);
  // 200 says that it was relayed, not that it worked: what follows is the call's option.
  if ((call.opts.referOutcome ?? 'handed_over') === 'handed_over')
    call.after(call.opts.referMs ?? 100, () => call.end('referred', 'client'));
  return done;
}

function hangup(_sim, call) {
  if (call.state !== 'live')
    return notFound();
  // The answer goes out before the sidebands close.
  setImmediate(() => call.end('hangup', 'client'));
  return done;
}

const actions = { accept, reject, refer, hangup };

const modelJson = (model) => ({ object: 'model', created: 1756000000, owned_by: 'openai', shutdown_date: null,
  ...model });

function models(sim) {
  return { status: 200, body: { object: 'list', data: sim.models.map(modelJson) } };
}

function model(sim, id) {
  const found = sim.models.find((each) => each.id === id);
  return found ? { status: 200, body: modelJson(found) }
    : envelope(404, `The model '${id}' does not exist or you do not have access to it.`, 'model_not_found', 'model');
}

/* A secret for a session that somebody may begin: the session is checked, nothing begins. */
function clientSecret(sim, body) {
  const wrong = sim.validate ? secretFaults(body) : [];
  if (wrong.length > 0) {
    sim.violation(null, `client_secrets: ${wrong.join('; ')}`, body);
    return envelope(400, `Invalid request: ${wrong.join('; ')}`);
  }
  const session = body?.session ?? {};
  const voice = session.audio?.output?.voice ?? 'marin';
  if (!sim.models.some((each) => each.id === session.model))
    return envelope(400, `Model "${session.model}" is not supported in realtime mode.`, 'invalid_model',
      'session.model');
  if (typeof voice === 'string' && !sim.voices.includes(voice))
    return envelope(400, `Invalid value: '${voice}'. Supported values are: ${sim.voices.join(', ')}.`, 'invalid_value',
      'session.audio.output.voice');
  const answer = { value: newId('ek'), expires_at: Math.floor(Date.now() / 1000) + 10,
    session: { object: 'realtime.session', id: newId('sess'), ...session } };
  const own = sim.validate ? secretAnswerFaults(answer) : [];
  if (own.length > 0)
    sim.violation(null, `sent client_secrets: ${own.join('; ')}`, answer);
  return { status: 200, body: answer };
}

function answer(res, { status, body }, headers = {}) {
  if (res.destroyed || res.writableEnded)
    return;
  if (body === null) {
    res.writeHead(status, { 'content-length': 0, 'x-request-id': newId('req'), ...headers });
    res.end();
  } else {
    sendJson(res, status, body, { 'x-request-id': newId('req'), ...headers });
  }
}

/* Answers as the rule says; `perform` does what was asked and gives the true answer. */
async function answerWithFault(sim, res, rule, entry, perform) {
  const failing = rule.status !== undefined || rule.reset || rule.never || rule.cut;
  const early = rule.apply ? perform() : null;
  if (rule.afterMs)
    await sleep(rule.afterMs);
  const real = early ?? (failing ? null : perform());
  entry.fault = true;
  if (rule.never)
    return;
  if (rule.reset) {
    resetSocket(res.socket);
  } else if (rule.cut) {
    res.socket.write('HTTP/1.1 200 OK\r\ncontent-le');
    setTimeout(() => res.socket && resetSocket(res.socket), 10);
  } else {
    const reply = rule.status === undefined ? real : rule.status === 200 ? done
      : rule.status === 404 ? notFound() : rule.status === 401 ? unauthorized()
        : envelope(rule.status, rule.message ?? 'Simulated fault', rule.code ?? null);
    entry.status = reply.status;
    answer(res, reply, rule.headers);
  }
}

function parseJson(raw) {
  if (!raw || raw.length === 0)
    return undefined;
  try {
    return JSON.parse(raw.toString('utf8'));
  } catch {
    return null;
  }
}

/** Handles one request. */
export async function handleRest(sim, req, res) {
  const entry = { t: Date.now(), hr: performance.now(), method: req.method, path: req.url,
    socket: req.socket.simNumber, port: req.socket.remotePort, headers: req.headers, body: undefined, status: null };
  sim.requests.push(entry);
  if (sim.clockMs)
    res.setHeader('date', new Date(Date.now() + sim.clockMs).toUTCString());
  const raw = await readBody(req);
  if (raw === null)
    return;
  entry.body = parseJson(raw);
  const [, name, action] = /^\/v1\/realtime\/calls\/([^/?]+)\/([a-z]+)$/.exec(req.url) ?? [];
  const call = name ? sim.calls.get(decodeURIComponent(name)) : null;
  Object.assign(entry, { action: action ?? null, callId: name ?? null });
  call?.requests.push(entry);
  sim.emit('request', entry);

  const perform = () => {
    if (!authorized(sim, req))
      return unauthorized();
    if (sim.project && req.headers['openai-project'] && req.headers['openai-project'] !== sim.project)
      return envelope(401, 'OpenAI-Project header should match project for API key', 'mismatched_project');
    if (req.method === 'GET' && /^\/v1\/models(\?|$)/.test(req.url))
      return models(sim);
    if (req.method === 'GET' && req.url.startsWith('/v1/models/'))
      return model(sim, decodeURIComponent(req.url.slice('/v1/models/'.length)));
    if (req.method === 'POST' && req.url === '/v1/realtime/client_secrets')
      return clientSecret(sim, entry.body);
    if (req.method !== 'POST' || !Object.hasOwn(actions, action ?? ''))
      return envelope(404, `Invalid URL (${req.method} ${req.url})`);
    if (!call || call.over)
      return notFound();
    return actions[action](sim, call, entry.body);
  };
  const rule = action || req.url.startsWith('/v1/models')
    ? takeFault(action ?? 'models', call?.faults, sim.faults)
    : req.url.startsWith('/v1/realtime/client_secrets') ? takeFault('client_secrets', null, sim.faults) : null;
  if (rule) {
    await answerWithFault(sim, res, rule, entry, perform);
    return;
  }
  const reply = perform();
  entry.status = reply.status;
  if (reply.status === 404)
    await sleep(sim.timing.notFoundMs);
  answer(res, reply);
}
