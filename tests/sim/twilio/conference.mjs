/* SPDX-License-Identifier: MIT */
/*
 * Rooms in which legs hear each other: a conference, and the bridge of a <Dial>. A participant is listed
 * from its creation and joins when it is answered (with EarlyMedia already while it rings). Ending a
 * conference hangs up those who have joined; a leg that still rings rings on.
 */
import { newSid, rfc2822 } from './ids.mjs';
import { Task } from './task.mjs';
import { fetchDocument, playDocument } from './sounds.mjs';
import { soundVerbs } from './twiml.mjs';

/* Event -> the name by which it is subscribed. */
const subscription = (event) => event.replace(/^(conference|participant)-/, '')
  .replace(/^un/, '').replace(/^announcement-.*/, 'announcement').replace(/^speech.*/, 'speaker');

export class Bridge {
  constructor(sim, ...legs) {
    this.sim = sim;
    this.legs = legs;
    legs.forEach((leg) => { leg.room = this; });
  }

  get members() {
    return this.legs;
  }

  hearers(leg) {
    return this.legs.filter((other) => other !== leg && other.up && leg.up && other.room === this);
  }

  digit(leg, digit) {
    this.hearers(leg).forEach((other) => other.hear({ kind: 'digits', text: digit }));
    return true;
  }
}

class Participant {
  constructor(conference, leg, opts) {
    Object.assign(this, { conference, leg, label: null, muted: false, hold: false, startOnEnter: true,
      endOnExit: false, beep: 'true', waitUrl: null, waitMethod: 'POST', coaching: false, coach: null,
      callback: null, ...opts });
    this.joined = false;
    this.createdAt = Date.now();
    this.updatedAt = this.createdAt;
    this.music = new Task();
    this.left = new Promise((resolve) => { this.resolveLeft = resolve; });
  }

  get status() {
    return { queued: 'queued', ringing: 'ringing', 'in-progress': this.joined ? 'connected' : 'connecting',
      completed: 'complete' }[this.leg.status] ?? 'failed';
  }

  get audible() {
    return this.joined && this.leg.up && !this.hold;
  }
}

export class Conference {
  constructor(sim, friendlyName) {
    this.sim = sim;
    this.friendlyName = friendlyName;
    this.sid = newSid('CF');
    this.status = 'init';
    this.createdAt = Date.now();
    this.updatedAt = this.createdAt;
    this.participants = [];
    this.callback = undefined; // of the first participant that joins
    this.sequence = 0;
    this.reason = null;
    this.endedBy = null;
  }

  get over() {
    return this.status === 'completed';
  }

  get joined() {
    return this.participants.filter((p) => p.joined);
  }

  get members() {
    return this.participants.map((p) => p.leg);
  }

  find(key) {
    return this.participants.find((p) => p.leg.sid === key || p.label === key) ?? null;
  }

  tell(event, extra = {}, participant = null) {
    this.updatedAt = Date.now();
    this.sim.emit('conference', this, event, participant);
    const { callback } = this;
    if (!callback?.url || !callback.events.includes(subscription(event)))
      return;
    const about = participant === null ? {} : { CallSid: participant.leg.sid,
      Muted: String(participant.muted), Hold: String(participant.hold),
      Coaching: String(participant.coaching), EndConferenceOnExit: String(participant.endOnExit),
      StartConferenceOnEnter: String(participant.startOnEnter),
      ParticipantLabel: participant.label ?? undefined };
    this.sequence += 1;
    this.sim.callbacks.send('conference', callback.url, callback.method, { ConferenceSid: this.sid,
      FriendlyName: this.friendlyName, AccountSid: this.sim.accountSid, StatusCallbackEvent: event,
      SequenceNumber: String(this.sequence), Timestamp: rfc2822(Date.now()), ...about, ...extra }, this.sid);
  }

  /** Lists a leg that is to join, or null when its label is in use. */
  list(leg, opts) {
    if (opts.label && this.find(opts.label))
      return null;
    const participant = new Participant(this, leg, opts);
    this.participants.push(participant);
    leg.participant = participant;
    return participant;
  }

  join(participant) {
    if (this.over || participant.joined)
      return;
    participant.joined = true;
    participant.leg.room = this;
    if (this.callback === undefined)
      this.callback = participant.callback;
    this.tell('participant-join', {}, participant);
    if (participant.beep === 'true' || participant.beep === 'onEnter')
      this.joined.forEach((p) => p.leg.hear({ kind: 'beep', text: '' }));
    if (this.status === 'init' && this.joined.length > 1 && this.joined.some((p) => p.startOnEnter)) {
      this.status = 'in-progress';
      this.joined.forEach((p) => p.music.cancel());
      this.tell('conference-start');
    } else if (this.status === 'init' && participant.waitUrl !== '') {
      this.music(participant, 'wait', participant.waitUrl, participant.waitMethod);
    }
    participant.leg.emit('joined');
  }

  /* Music for one who waits or is held; `url` null is the carrier's own. */
  music(participant, kind, url, method) {
    const { leg } = participant;
    participant.music.cancel();
    participant.music = new Task();
    leg.hear({ kind, text: url ?? 'music' });
    if (!url)
      return;
    participant.music.run(async (task) => {
      const params = { ...leg.params(), ConferenceSid: this.sid, FriendlyName: this.friendlyName };
      const document = await task.race(fetchDocument(this.sim, kind, { url, method }, params, soundVerbs));
      await playDocument(this.sim, task, document, () => [leg], kind, params);
    }, (error) => this.sim.violation(`simulator failed: ${error.stack}`));
  }

  /** A participant goes: `reason` as in ReasonParticipantLeft; `kicked`: by the API. */
  leave(participant, reason, kicked = false) {
    if (!this.participants.includes(participant))
      return;
    this.remove(participant, reason);
    if (participant.joined && participant.endOnExit)
      this.end(`participant-with-end-conference-on-exit-${kicked ? 'kicked' : 'left'}`, participant);
    else if (this.participants.length === 0)
      this.end(`last-participant-${kicked ? 'kicked' : 'left'}`, participant);
  }

  remove(participant, reason) {
    const { leg } = participant;
    this.participants = this.participants.filter((p) => p !== participant);
    participant.music.cancel();
    leg.participant = null;
    leg.room = null;
    if (participant.joined) {
      this.tell('participant-leave', { ParticipantCallStatus: leg.status, ReasonParticipantLeft: reason },
        participant);
      if (participant.beep === 'true' || participant.beep === 'onExit')
        this.joined.forEach((p) => p.leg.hear({ kind: 'beep', text: '' }));
    }
    participant.resolveLeft(reason);
    leg.emit('left');
  }

  /** Ends the conference, once. */
  end(reason, by = null) {
    if (this.over)
      return;
    this.status = 'completed';
    this.reason = reason;
    this.endedBy = by?.leg.sid ?? null;
    const why = reason === 'conference-ended-via-api' ? 'conference_ended_via_api'
      : 'moderator_ended_conference';
    this.joined.forEach((p) => this.remove(p, why));
    this.participants = [];
    this.tell('conference-end', { CallSidEndingConference: this.endedBy ?? undefined,
      ParticipantLabelEndingConference: by?.label ?? undefined, ReasonConferenceEnded: reason,
      Reason: reason.replaceAll('-', ' ') });
  }

  setMuted(participant, muted) {
    if (participant.muted === muted)
      return;
    participant.muted = muted;
    this.tell(muted ? 'participant-mute' : 'participant-unmute', {}, participant);
    participant.leg.emit('joined');
  }

  setHold(participant, hold, url, method) {
    if (participant.hold === hold)
      return;
    participant.hold = hold;
    this.tell(hold ? 'participant-hold' : 'participant-unhold', {}, participant);
    if (hold)
      this.music(participant, 'hold', url, method);
    else
      participant.music.cancel();
    participant.leg.emit('joined');
  }

  /** Fetches an announcement and plays it to all, or to one participant alone. */
  async announce(url, method, only = null) {
    const params = { ConferenceSid: this.sid, FriendlyName: this.friendlyName,
      AccountSid: this.sim.accountSid, CallSid: only?.leg.sid };
    const about = { AnnounceUrl: url };
    const document = await fetchDocument(this.sim, 'announce', { url, method }, params, soundVerbs);
    if (!document) {
      this.tell('announcement-fail', { ...about, ReasonAnnouncementFailed: 'document not fetched' }, only);
      return;
    }
    const ears = () => (only ? [only] : this.participants.filter((p) => !p.hold))
      .filter((p) => p.joined).map((p) => p.leg);
    await playDocument(this.sim, this.sim.task, document, ears, 'announce', params);
    this.tell('announcement-end', about, only);
  }

  hearers(leg) {
    const me = this.find(leg.sid);
    if (this.status !== 'in-progress' || !me?.audible || me.muted)
      return [];
    return this.participants.filter((p) => p !== me && p.audible).map((p) => p.leg);
  }

  /* Keys reach nobody as keys, unless the simulator was told so. */
  digit(leg, digit) {
    if (!this.sim.conferenceDtmf)
      return false;
    this.hearers(leg).forEach((other) => other.hear({ kind: 'digits', text: digit }));
    return true;
  }
}
