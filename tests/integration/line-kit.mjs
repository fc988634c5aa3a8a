/* SPDX-License-Identifier: MIT */
// What the tests of calls over a carrier share: one host, the simulators of OpenAI and of the carrier.
import assert from 'node:assert/strict';
import { mergeConfig } from '../lib/host.mjs';
import { waitFor } from '../lib/util.mjs';
import { createTwilio } from '../sim/twilio/index.mjs';
import { rig } from './native-kit.mjs';

export const OWN = '+15550001000';
export const BOB = '+15551230001';
export const CAROL = '+15551230002';
export const PUBLIC = 'https://voice.example.com';

/**
 * @param {object} t the test's context
 * @param {object} [opts] people (see person.mjs), twilio (options of createTwilio), changes, start (false: no host yet), and
 *   those of rig()
 * @returns {Promise<Rig>} with twilio, dial(), state(), until()
 */
export async function lineRig(t, { people = {}, twilio: how = {}, changes = {}, start: now = true, ...rest } = {}) {
  const made = await rig(t, { sim: { speed: 20 }, ...rest, start: false });
  const twilio = await createTwilio({ openai: made.openai, people, numbers: { [OWN]: {
    voiceUrl: `${PUBLIC}/twilio/voice` } }, ...how });
  made.twilio = twilio;
  const close = made.close.bind(made);
  made.close = () => close().finally(() => twilio.close()); // else a test that fails does not end
  made.changes = mergeConfig(mergeConfig(made.changes, {
    channels: { voice: { openai: { project_id: 'proj_test' }, webhook: { base_url: PUBLIC },
      outbound: { calls_per_second: 20 },
      twilio: { account_sid: twilio.accountSid, auth_token: twilio.authToken, phone_number: OWN,
        base_url: twilio.url } } },
    security: { voice: { destinations: { allow: ['+1555'] }, transfer_targets: { Carol: CAROL } } },
  }), changes);
  const start = made.start.bind(made);
  made.start = async (opts) => {
    const host = await start(opts);
    made.openai.webhookUrl = host.webhookUrl;
    twilio.route(PUBLIC, host.url);
    return host;
  };
  if (now)
    await made.start(rest.host);
  /** Asks for a call; its id. */
  made.dial = async (body, status = 200) => {
    const res = await made.host.api('/call', { method: 'POST', body: { to: BOB, ...body } });
    assert.equal(res.status, status, res.text);
    return res.json.call_id;
  };
  /** What the API says of a call. */
  made.state = (id) => made.get(`/calls/${id}`);
  /** Waits until the call is over; what the API says of it. */
  made.over = (id, timeoutMs = 15000) => waitFor(async () => {
    const call = await made.state(id);
    return call.state === 'over' ? call : null;
  }, { timeoutMs, what: `the end of ${id}` }).catch((error) => { throw made.host.fail(error.message); });
  /** Waits for an event of a call. */
  made.event = (id, name, fits = () => true, timeoutMs = 20000) => waitFor(
    () => made.hosts.flatMap((host) => host.events).find((e) => e.call === id && e.event === name && fits(e)),
    { timeoutMs, what: `${name} of ${id}` }).catch((error) => { throw made.host.fail(error.message); });
  /** Does something to a call and waits for its outcome. */
  made.act = async (id, verb, body = {}) => {
    const res = await made.host.api(`/calls/${id}/${verb}`, { method: 'POST', body });
    assert.equal(res.status, 202, res.text);
    const end = await made.event(id, 'call.action',
      (e) => e.id === res.json.id && !['asked', 'doing'].includes(e.state));
    return end;
  };
  return made;
}
