/* SPDX-License-Identifier: MIT */
// Answering machines: hang up, one message after the tone, or talk on; and a human who is taken for one.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { waitFor } from '../lib/util.mjs';
import { BOB, PUBLIC, lineRig } from './line-kit.mjs';

const outbound = (fields) => ({ channels: { voice: { outbound: fields } } });
const MESSAGE = 'This is the assistant of Ada. Please call back.';
const calls = (made) => [...made.openai.calls.values()];
const amd = (made) => made.twilio.requests.find((r) => r.op === 'participants.create').params.MachineDetection;

async function over(made, id) {
  const call = await made.over(id);
  await made.twilio.idle();
  made.twilio.assertNoLegs();
  made.twilio.assertRangOnce(BOB);
  made.twilio.assertClean();
  return call;
}

describe('a machine', { concurrency: 3 }, () => {
  test('is greeted at once like anybody, then hears the message once, after its tone, and is hung up', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 500, voicemail: { maxS: 2000, greeting:
      `You have reached the mailbox of Bob. ${'I am not at home and cannot take your call. '.repeat(28)}` } } },
    changes: outbound({ voicemail: 'message', voicemail_message: MESSAGE }) });
    const id = await made.dial({ purpose: 'Tell Bob that the table is free', message: 'Good evening, Bob.' });
    const call = await over(made, id);
    assert.equal(amd(made), 'DetectMessageEnd');
    assert.deepEqual([call.outcome, call.status], ['voicemail', 'completed'], JSON.stringify(call));
    const bob = made.twilio.person(BOB);
    assert.equal(bob.messages.filter((text) => text.includes(MESSAGE)).length, 1, JSON.stringify(bob.messages));
    assert.ok(bob.messages.at(-1).includes(MESSAGE), 'nothing after it');
    const [model] = calls(made);
    const said = model.turns.filter((turn) => turn.who === 'assistant');
    assert.ok(said[0].text !== MESSAGE, 'the greeting did not wait for the detection');
    const { hops } = await made.get(`/calls/${id}/why`);
    const at = (name) => hops.findIndex((hop) => hop.hop === name);
    assert.ok(at('machine_end') >= 0 && at('voicemail_said') > at('machine_end'), JSON.stringify(hops));
  });

  test('is hung up where nothing is to be left', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 500, voicemail: true } }, changes: outbound({ voicemail: 'hangup' }) });
    const call = await over(made, await made.dial({ purpose: 'test', message: MESSAGE }));
    assert.equal(amd(made), 'Enable');
    assert.equal(call.outcome, 'voicemail');
    assert.match(call.detail, /answering machine/);
  });

  test('is talked to where the call goes on', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 500, voicemail: { maxS: 600 } } },
      changes: outbound({ voicemail: 'continue' }) });
    const id = await made.dial({ purpose: 'test' });
    await made.event(id, 'turn');
    assert.equal(amd(made), undefined, 'it is not asked for');
    await made.host.api(`/call/${id}`, { method: 'DELETE' });
    assert.equal((await over(made, id)).outcome, 'answered');
  });

  test('that sends faxes is hung up, whatever is configured', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 500, fax: true } }, changes: outbound({ voicemail: 'message' }) });
    const call = await over(made, await made.dial({ purpose: 'test' }));
    assert.equal(call.outcome, 'voicemail');
    assert.match(call.detail, /fax/);
    assert.deepEqual(made.twilio.person(BOB).messages, []);
  });

  test('that has talked twice is a human: the detector is not believed', async (t) => {
    const detected = async (line) => {
      const { participant, sid } = line.leg;
      await made.twilio.callbacks.deliver('amd', `${PUBLIC}/twilio/amd?ref=${participant.conference.friendlyName}&party=caller`,
        'POST', { CallSid: sid, AccountSid: made.twilio.accountSid, AnsweredBy: 'machine_end_beep' });
    };
    const made = await lineRig(t, { people: { [BOB]: { answers: 500, amdMs: 600000, script: [{ wait: 'greeting' },
      { caller: 'Hello?' }, { wait: 'assistant' }, { caller: 'Yes, it is me.' }, { wait: 'assistant' }, { do: detected },
      { caller: 'Are you there?' }, { wait: 'assistant' }, { hangup: true }] } },
    changes: outbound({ voicemail: 'message', voicemail_message: MESSAGE }) });
    const id = await made.dial({ purpose: 'test' });
    const call = await over(made, id);
    assert.equal(call.outcome, 'answered', JSON.stringify(call));
    const { hops } = await made.get(`/calls/${id}/why`);
    assert.ok(hops.some((hop) => hop.hop === 'machine_ignored'));
    assert.ok(!made.twilio.person(BOB).texts('model').some((text) => text.includes(MESSAGE)));
  });

  test('is told after a restart, too: the message is not spoken twice', async (t) => {
    const made = await lineRig(t, { people: { [BOB]: { answers: 500, voicemail: { greeting: 'Leave a message.', maxS: 2000 } } },
      changes: outbound({ voicemail: 'message', voicemail_message: `${MESSAGE} ${'It is about the table. '.repeat(30)}` }) });
    const id = await made.dial({ purpose: 'test' });
    await waitFor(() => calls(made).some((call) => call.turns.some((turn) => turn.text.includes('the table'))
      || call.events.some((e) => e.type === 'response.create' && JSON.stringify(e.event).includes('the table'))),
    { what: 'the message to begin' });
    await made.restart();
    const call = await made.over(id, 40000);
    assert.equal(call.outcome, 'voicemail', JSON.stringify(call));
    const asked = calls(made).flatMap((one) => one.events.filter((e) => e.type === 'response.create'
      && JSON.stringify(e.event).includes('the table')));
    assert.equal(asked.length, 1, 'asked for once');
    await made.twilio.idle();
    made.twilio.assertNoLegs();
  });
});
