/* SPDX-License-Identifier: MIT */
// The API's resources as JSON.
import { rfc2822 } from './ids.mjs';

const base = (sim) => `/2010-04-01/Accounts/${sim.accountSid}`;
const dates = (thing) => ({ date_created: rfc2822(thing.createdAt), date_updated: rfc2822(thing.updatedAt) });

export function callJson(sim, leg) {
  const uri = `${base(sim)}/Calls/${leg.sid}`;
  const names = { notifications: 'Notifications', recordings: 'Recordings', payments: 'Payments',
    events: 'Events', siprec: 'Siprec', streams: 'Streams', transcriptions: 'Transcriptions',
    user_defined_message_subscriptions: 'UserDefinedMessageSubscriptions',
    user_defined_messages: 'UserDefinedMessages' };
  const own = sim.numbers.get(leg.direction === 'inbound' ? leg.to : leg.from);
  return { sid: leg.sid, ...dates(leg), parent_call_sid: leg.parent?.sid ?? null,
    account_sid: sim.accountSid, to: leg.to, to_formatted: leg.to, from: leg.from,
    from_formatted: leg.from, phone_number_sid: own?.sid ?? null, status: leg.status,
    start_time: rfc2822(leg.answeredAt), end_time: rfc2822(leg.endedAt),
    duration: leg.over ? String(leg.durationS) : null, price: null, price_unit: 'USD',
    direction: leg.direction, answered_by: leg.answeredBy, api_version: '2010-04-01',
    forwarded_from: leg.forwardedFrom ?? null, group_sid: null, caller_name: leg.callerName ?? null,
    queue_time: String(Math.round(leg.queuedMs)), trunk_sid: null, uri: `${uri}.json`,
    subresource_uris: Object.fromEntries(Object.entries(names)
      .map(([key, name]) => [key, `${uri}/${name}.json`])) };
}

export function conferenceJson(sim, conference) {
  const uri = `${base(sim)}/Conferences/${conference.sid}`;
  return { status: conference.status, region: 'us1', sid: conference.sid, ...dates(conference),
    subresource_uris: { participants: `${uri}/Participants.json`, recordings: `${uri}/Recordings.json` },
    friendly_name: conference.friendlyName, uri: `${uri}.json`, api_version: '2010-04-01',
    account_sid: sim.accountSid, reason_conference_ended: conference.reason,
    call_sid_ending_conference: conference.endedBy };
}

export function participantJson(sim, participant) {
  const { conference, leg } = participant;
  return { account_sid: sim.accountSid, call_sid: leg.sid, label: participant.label,
    conference_sid: conference.sid, ...dates(participant), end_conference_on_exit: participant.endOnExit,
    muted: participant.muted, hold: participant.hold, status: participant.status,
    start_conference_on_enter: participant.startOnEnter, coaching: participant.coaching,
    call_sid_to_coach: participant.coach,
    queue_time: leg.direction === 'inbound' ? null : String(Math.round(leg.queuedMs)),
    uri: `${base(sim)}/Conferences/${conference.sid}/Participants/${leg.sid}.json` };
}

/** A recording; `ofCall`: under its call, else in the account's list. */
export function recordingJson(sim, recording, ofCall) {
  const common = { account_sid: sim.accountSid, api_version: '2010-04-01', call_sid: recording.leg.sid,
    conference_sid: null, channels: recording.channels, ...dates(recording),
    start_time: rfc2822(recording.createdAt), price: null, price_unit: null,
    duration: recording.endedAt === null ? null : String(recording.durationS), sid: recording.sid,
    source: 'StartCallRecordingAPI', status: recording.status, error_code: null,
    encryption_details: null };
  if (ofCall)
    return { ...common, track: recording.track,
      uri: `${base(sim)}/Calls/${recording.leg.sid}/Recordings/${recording.sid}.json` };
  const uri = `${base(sim)}/Recordings/${recording.sid}`;
  return { ...common, uri: `${uri}.json`, media_url: recording.url, subresource_uris: {
    add_on_results: `${uri}/AddOnResults.json`, transcriptions: `${uri}/Transcriptions.json` } };
}

export function numberJson(sim, number) {
  return { account_sid: sim.accountSid, address_requirements: 'none', address_sid: null,
    api_version: '2010-04-01', beta: false,
    capabilities: { voice: number.voice ?? true, sms: false, mms: false, fax: false }, ...dates(number),
    emergency_status: 'Inactive', emergency_address_sid: null, emergency_address_status: 'unregistered',
    friendly_name: number.number, identity_sid: null, origin: 'twilio', phone_number: number.number,
    sid: number.sid, sms_application_sid: null, sms_fallback_method: 'POST', sms_fallback_url: '',
    sms_method: 'POST', sms_url: '', status_callback: number.statusCallback ?? '',
    status_callback_method: number.statusCallbackMethod ?? 'POST', trunk_sid: number.trunkSid ?? null,
    uri: `${base(sim)}/IncomingPhoneNumbers/${number.sid}.json`, voice_application_sid: number.applicationSid ?? null,
    voice_caller_id_lookup: false, voice_fallback_method: number.voiceFallbackMethod ?? 'POST',
    voice_fallback_url: number.voiceFallbackUrl ?? null, voice_method: number.voiceMethod ?? 'POST',
    voice_url: number.voiceUrl ?? null, voice_receive_mode: 'voice', status: 'in-use', bundle_sid: null,
    type: 'local' };
}

export function accountJson(sim) {
  return { sid: sim.accountSid, friendly_name: 'Simulated account', status: 'active', type: 'Full',
    auth_token: sim.authToken, owner_account_sid: sim.accountSid, date_created: rfc2822(sim.createdAt),
    date_updated: rfc2822(sim.createdAt), uri: `${base(sim)}.json`, subresource_uris: {}, ...sim.account };
}

/** One page of a list. */
export function pageJson(path, query, name, all) {
  const size = Math.min(1000, Math.max(1, Number(query.PageSize ?? 50)));
  const page = Math.max(0, Number(query.Page ?? 0));
  const shown = all.slice(page * size, (page + 1) * size);
  const uri = (number) => {
    const params = new URLSearchParams({ ...query, PageSize: String(size), Page: String(number) });
    return `${path}?${params}`;
  };
  return { [name]: shown, first_page_uri: uri(0), uri: uri(page), page, page_size: size,
    next_page_uri: (page + 1) * size < all.length ? uri(page + 1) : null,
    previous_page_uri: page > 0 ? uri(page - 1) : null, start: page * size,
    end: page * size + Math.max(0, shown.length - 1) };
}
