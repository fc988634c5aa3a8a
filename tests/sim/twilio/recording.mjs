/* SPDX-License-Identifier: MIT */
// Recordings of a call, with real WAV files: a tone for each channel, silence while paused.
import { newSid, rfc2822 } from './ids.mjs';

const RATE = 8000;
const TONES_HZ = [440, 880];

/** A WAV file: 16 bit, 8 kHz. `silent(second)` tells where nothing was recorded. */
export function wav(seconds, channels, silent = () => false) {
  const frames = Math.round(seconds * RATE);
  const data = Buffer.alloc(44 + frames * channels * 2);
  data.write('RIFF', 0, 'latin1');
  data.writeUInt32LE(data.length - 8, 4);
  data.write('WAVEfmt ', 8, 'latin1');
  data.writeUInt32LE(16, 16);
  data.writeUInt16LE(1, 20);
  data.writeUInt16LE(channels, 22);
  data.writeUInt32LE(RATE, 24);
  data.writeUInt32LE(RATE * channels * 2, 28);
  data.writeUInt16LE(channels * 2, 32);
  data.writeUInt16LE(16, 34);
  data.write('data', 36, 'latin1');
  data.writeUInt32LE(data.length - 44, 40);
  for (let frame = 0; frame < frames; frame += 1) {
    const on = silent(frame / RATE) ? 0 : 8000;
    for (let channel = 0; channel < channels; channel += 1) {
      const sample = on * Math.sin((2 * Math.PI * TONES_HZ[channel] * frame) / RATE);
      data.writeInt16LE(Math.round(sample), 44 + (frame * channels + channel) * 2);
    }
  }
  return data;
}

export class Recording {
  constructor(sim, leg, { channels = 1, track = 'both', callback = null }) {
    Object.assign(this, { sim, leg, channels, track, callback });
    this.sid = newSid('RE');
    this.status = 'in-progress';
    this.createdAt = Date.now();
    this.updatedAt = this.createdAt;
    this.endedAt = null;
    this.pauses = []; // {from, to, skip}: seconds of the call since the recording began
    this.deleted = false;
    this.media = null;
    sim.recordings.set(this.sid, this);
    leg.recordings.push(this);
    this.tell('in-progress');
  }

  get url() {
    return `${this.sim.origin}/2010-04-01/Accounts/${this.sim.accountSid}/Recordings/${this.sid}`;
  }

  get running() {
    return this.status === 'in-progress' || this.status === 'paused';
  }

  /** Seconds since it began, in life. */
  elapsedS() {
    return (((this.endedAt ?? Date.now()) - this.createdAt) * this.sim.speed) / 1000;
  }

  get skippedS() {
    return this.pauses.filter((p) => p.skip).reduce((sum, p) => sum + (p.to ?? this.elapsedS()) - p.from, 0);
  }

  get durationS() {
    return Math.max(0, Math.ceil(this.elapsedS() - this.skippedS));
  }

  tell(event) {
    this.updatedAt = Date.now();
    if (!this.callback?.url || !this.callback.events.includes(event))
      return;
    this.sim.callbacks.send('recording', this.callback.url, this.callback.method, {
      AccountSid: this.sim.accountSid, CallSid: this.leg.sid, RecordingSid: this.sid,
      RecordingUrl: this.url, RecordingStatus: event, RecordingChannels: String(this.channels),
      RecordingDuration: event === 'completed' ? String(this.durationS) : undefined,
      RecordingStartTime: rfc2822(this.createdAt), RecordingSource: 'StartCallRecordingAPI',
      RecordingTrack: this.track }, this.sid);
  }

  pause(skip) {
    if (this.status !== 'in-progress')
      return;
    this.status = 'paused';
    this.pauses.push({ from: this.elapsedS(), to: null, skip });
    this.updatedAt = Date.now();
  }

  resume() {
    if (this.status !== 'paused')
      return;
    this.status = 'in-progress';
    this.pauses.at(-1).to = this.elapsedS();
    this.updatedAt = Date.now();
  }

  /** Ends it; the file is there a little later. */
  stop() {
    if (!this.running)
      return;
    this.resume();
    this.endedAt = Date.now();
    this.status = 'processing';
    this.sim.task.after(this.sim.recordingMs, () => {
      this.status = this.leg.answeredAt === null ? 'absent' : 'completed';
      this.tell(this.status);
    });
  }

  /** The file, with as many channels as asked for. */
  file(channels) {
    const quiet = this.pauses.filter((p) => !p.skip);
    const seconds = this.sim.recordingS ?? this.durationS;
    return wav(seconds, channels, (at) => quiet.some((p) => at >= p.from && at < p.to));
  }
}
