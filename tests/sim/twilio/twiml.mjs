/* SPDX-License-Identifier: MIT */
/*
 * Reads a TwiML document, strictly: what the carrier would warn of, ignore or refuse is a fault here.
 * An element is {name, attrs, children, text}.
 */

const MAX_BYTES = 64 * 1024;
const entities = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

export class BadTwiml extends Error {}

function decode(text) {
  return text.replace(/&([^;&\s]*);?/g, (whole, name) => {
    if (!whole.endsWith(';'))
      throw new BadTwiml(`"&" that begins no entity: ${whole}`);
    const number = /^#(?:x([0-9a-fA-F]+)|([0-9]+))$/.exec(name);
    if (number)
      return String.fromCodePoint(parseInt(number[1] ?? number[2], number[1] ? 16 : 10));
    if (!Object.hasOwn(entities, name))
      throw new BadTwiml(`unknown entity &${name};`);
    return entities[name];
  });
}

function readAttrs(text) {
  const attrs = {};
  let rest = text;
  while (rest.trim() !== '') {
    const m = /^\s+([A-Za-z_:][\w:.-]*)\s*=\s*("([^"<]*)"|'([^'<]*)')/.exec(rest);
    if (!m)
      throw new BadTwiml(`bad attribute at "${rest.slice(0, 40)}"`);
    if (Object.hasOwn(attrs, m[1]))
      throw new BadTwiml(`attribute ${m[1]} twice`);
    attrs[m[1]] = decode(m[3] ?? m[4]);
    rest = rest.slice(m[0].length);
  }
  return attrs;
}

/* The next piece of markup: {kind, name, attrs, empty, end}. */
function readMarkup(text, at) {
  const rest = text.slice(at);
  const skipped = /^(<!--(?:(?!--)[^])*-->|<\?[^]*?\?>)/.exec(rest);
  if (skipped)
    return { kind: 'skip', end: at + skipped[0].length };
  const cdata = /^<!\[CDATA\[([^]*?)\]\]>/.exec(rest);
  if (cdata)
    return { kind: 'text', text: cdata[1], end: at + cdata[0].length };
  const close = /^<\/([A-Za-z][\w-]*)\s*>/.exec(rest);
  if (close)
    return { kind: 'close', name: close[1], end: at + close[0].length };
  const open = /^<([A-Za-z][\w-]*)((?:\s+[^\s=>/]+\s*=\s*(?:"[^"]*"|'[^']*'))*)\s*(\/?)>/.exec(rest);
  if (!open)
    throw new BadTwiml(`bad markup at "${rest.slice(0, 40)}"`);
  return { kind: 'open', name: open[1], attrs: readAttrs(open[2]), empty: open[3] === '/',
    end: at + open[0].length };
}

/** The root element of an XML document. */
export function parseXml(text) {
  if (Buffer.byteLength(text) > MAX_BYTES)
    throw new BadTwiml('longer than 64 KiB');
  const top = { name: '', attrs: {}, children: [], text: '' };
  const stack = [top];
  let at = 0;
  while (at < text.length) {
    const next = text.indexOf('<', at);
    const end = next < 0 ? text.length : next;
    const here = stack.at(-1);
    here.text += decode(text.slice(at, end));
    if (next < 0)
      break;
    const piece = readMarkup(text, next);
    at = piece.end;
    if (piece.kind === 'text') {
      here.text += piece.text;
    } else if (piece.kind === 'open') {
      const element = { name: piece.name, attrs: piece.attrs, children: [], text: '' };
      here.children.push(element);
      if (!piece.empty)
        stack.push(element);
    } else if (piece.kind === 'close') {
      if (here.name !== piece.name)
        throw new BadTwiml(`</${piece.name}> closes <${here.name}>`);
      stack.pop();
    }
  }
  if (stack.length !== 1 || top.children.length !== 1 || top.text.trim() !== '')
    throw new BadTwiml(stack.length !== 1 ? `<${stack.at(-1).name}> is not closed`
      : 'not exactly one root element');
  return top.children[0];
}

const bool = /^(true|false)$/;
const number = /^\d+$/;
const method = /^(GET|POST)$/;
const any = /^[^]*$/;
const url = /^\S+$/;
const events = (names) => new RegExp(`^(${names})( (${names}))*$`);
const recordingEvents = events('in-progress|completed|absent');
const callEvents = events('initiated|ringing|answered|completed');
const recorded = { recordingStatusCallback: url, recordingStatusCallbackMethod: method,
  recordingStatusCallbackEvent: recordingEvents, trim: /^(trim-silence|do-not-trim)$/ };
const party = { url, method, statusCallback: url, statusCallbackMethod: method,
  statusCallbackEvent: callEvents, machineDetection: /^(Enable|DetectMessageEnd)$/,
  machineDetectionTimeout: number, machineDetectionSpeechThreshold: number,
  machineDetectionSpeechEndThreshold: number, machineDetectionSilenceTimeout: number,
  amdStatusCallback: url, amdStatusCallbackMethod: method };

/* Each element: its attributes, what may stand in it, whether text may. */
const grammar = {
  Response: { attrs: {}, children: ['Say', 'Play', 'Gather', 'Pause', 'Dial', 'Redirect', 'Hangup', 'Reject'] },
  Say: { attrs: { voice: any, language: any, loop: number }, text: true },
  Play: { attrs: { loop: number, digits: /^[0-9*#wW]{1,128}$/ }, text: true },
  Pause: { attrs: { length: number } },
  Gather: { attrs: { input: /^dtmf$/, action: url, method, timeout: /^(\d+|auto)$/, numDigits: number,
    finishOnKey: /^[0-9*#]?$/, actionOnEmptyResult: bool, bargeIn: bool }, children: ['Say', 'Play', 'Pause'] },
  Redirect: { attrs: { method }, text: true },
  Hangup: { attrs: {} },
  Reject: { attrs: { reason: /^(rejected|busy)$/ } },
  Dial: { attrs: { action: url, method, timeout: number, timeLimit: number, hangupOnStar: bool,
    callerId: any, answerOnBridge: bool, ringTone: any, sequential: bool, referUrl: url, referMethod: method,
    record: /^(do-not-record|record-from-(answer|ringing)(-dual)?)$/, recordingTrack: /^(inbound|outbound|both)$/,
    ...recorded }, children: ['Number', 'Sip', 'Conference'], text: true },
  Number: { attrs: { ...party, sendDigits: /^[0-9*#wW]*$/ }, text: true },
  Sip: { attrs: { ...party, username: any, password: any }, text: true },
  Conference: { attrs: { muted: bool, beep: /^(true|false|onEnter|onExit)$/, startConferenceOnEnter: bool,
    endConferenceOnExit: bool, waitUrl: /^\S*$/, waitMethod: method, maxParticipants: number,
    record: /^(do-not-record|record-from-start)$/, region: any, coach: /^CA[0-9a-f]{32}$/,
    participantLabel: any, jitterBufferSize: /^(off|small|medium|large)$/, statusCallback: url,
    statusCallbackMethod: method,
    statusCallbackEvent: events('start|end|join|leave|mute|hold|modify|speaker|announcement'),
    ...recorded }, text: true },
};

function checkElement(element, found) {
  const rule = grammar[element.name];
  for (const [name, value] of Object.entries(element.attrs)) {
    if (!Object.hasOwn(rule.attrs, name))
      found.push(`<${element.name}> has no attribute ${name}`);
    else if (!rule.attrs[name].test(value))
      found.push(`<${element.name} ${name}="${value}">`);
  }
  if (!rule.text && element.text.trim() !== '')
    found.push(`text in <${element.name}>: ${element.text.trim().slice(0, 40)}`);
  for (const child of element.children) {
    if (!rule.children?.includes(child.name))
      found.push(`<${child.name}> in <${element.name}>`);
    else
      checkElement(child, found);
  }
}

/** What is wrong with a document that is well-formed: an array of texts. */
export function twimlFaults(root) {
  const found = [];
  if (root.name !== 'Response')
    return [`the root is <${root.name}>`];
  checkElement(root, found);
  root.children.forEach((verb, i) => {
    if (verb.name === 'Reject' && i > 0)
      found.push('<Reject> is not the first verb');
  });
  return found;
}

/** The verbs that a document for an announcement or for waiting may hold. */
export const soundVerbs = ['Say', 'Play', 'Pause', 'Redirect'];

/** "true" and "false" of an attribute, or the default. */
export const flag = (value, fallback) => (value === undefined ? fallback : value === 'true');
