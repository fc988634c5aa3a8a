/* SPDX-License-Identifier: MIT */
// GET /events: the host's events as a stream over real sockets; resuming, gaps, filters, readers that do not read.
import assert from 'node:assert/strict';
import http from 'node:http';
import { describe, test } from 'node:test';
import { waitFor } from '../lib/util.mjs';
import { rig } from './native-kit.mjs';

const brief = [{ wait: 'greeting' }, { hangup: true }];

/* A reader of the stream. `events` holds {id, name, data}; `lastId` is what a browser would send again. */
class Reader {
  constructor(host, { query = '', lastId, token = host.token } = {}) {
    Object.assign(this, { events: [], beats: 0, lastId: null, status: null, ended: null, text: '' });
    const headers = { ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(lastId ? { 'last-event-id': lastId } : {}) };
    this.req = http.get(`${host.url}/events${query}`, { headers, agent: false });
    this.opened = new Promise((resolve, reject) => {
      this.req.on('error', (error) => {
        this.ended ??= error.code;
        reject(error);
      });
      this.req.on('response', (res) => {
        this.status = res.statusCode;
        this.headers = res.headers;
        res.setEncoding('utf8');
        res.on('data', (text) => this.onText(text));
        res.on('end', () => { this.ended ??= 'end'; });
        res.on('error', (error) => { this.ended ??= error.code; });
        resolve(this);
      });
    });
    this.opened.catch(() => {});
  }

  onText(text) {
    this.text += text;
    for (let at = this.text.indexOf('\n\n'); at >= 0; at = this.text.indexOf('\n\n')) {
      this.onBlock(this.text.slice(0, at));
      this.text = this.text.slice(at + 2);
    }
  }

  onBlock(block) {
    const event = { id: null, name: null, data: null };
    for (const line of block.split('\n')) {
      const [, key, value] = /^([a-z]*): ?(.*)$/.exec(line);
      if (key === '')
        this.beats++;
      else
        event[{ event: 'name' }[key] ?? key] = value;
    }
    this.lastId = event.id ?? this.lastId;
    if (event.data !== null)
      this.events.push({ ...event, json: JSON.parse(event.data) });
  }

  /** The first event of this name, also one that came before. */
  wait(name, what = `event ${name}`) {
    return waitFor(() => this.events.find((e) => e.name === name), { what });
  }

  close() {
    this.req.destroy();
  }
}

const read = (made, opts) => new Reader(made.host, opts).opened;
const numbers = (reader) => reader.events.map((e) => Number(e.id.split('-')[1]));

/* One short call; resolves with our id of it when it is over. */
async function oneCall(made) {
  const call = made.call({ script: brief });
  return (await made.ended(call)).call;
}

describe('events', () => {
  test('readers get what the host gets, in order, with the same names and the same JSON', async (t) => {
    const made = await rig(t);
    const readers = [await read(made), await read(made)];
    assert.equal(readers[0].status, 200);
    assert.equal(readers[0].headers['content-type'], 'text/event-stream');
    const id = await oneCall(made);
    for (const reader of readers) {
      await reader.wait('call.ended');
      assert.deepEqual(reader.events.map((e) => e.json), made.host.events.slice(1), 'all but ready');
      assert.ok(reader.events.every((e) => e.name === e.json.event));
      assert.ok(numbers(reader).every((n, i, all) => i === 0 || n === all[i - 1] + 1), 'numbered without a hole');
      assert.ok(reader.events.some((e) => e.name === 'call.live' && e.json.call === id));
    }
    await made.host.stop();
    await waitFor(() => readers.every((r) => r.ended), { what: 'the end of the streams' });
    assert.deepEqual(readers.map((r) => r.ended), ['end', 'end'], 'ended in order, not cut off');
  });

  test('a reader that comes back goes on behind what it saw, by header or parameter', async (t) => {
    const made = await rig(t);
    const first = await read(made);
    await oneCall(made);
    await first.wait('call.ended');
    const live = first.events.findIndex((e) => e.name === 'call.live');
    first.close();
    const rest = first.events.slice(live + 1).map((e) => e.id);
    const { id } = first.events[live];
    const again = [await read(made, { lastId: id }), await read(made, { query: `?last_event_id=${id}` })];
    for (const reader of again) {
      await reader.wait('call.ended');
      assert.deepEqual(reader.events.map((e) => e.id), rest);
      reader.close();
    }
  });

  test('who connected before any event loses none: the stream names its place first', async (t) => {
    const made = await rig(t);
    const first = await read(made);
    await waitFor(() => first.lastId, { what: 'an id' });
    first.close();
    await oneCall(made);
    const again = await read(made, { lastId: first.lastId });
    await again.wait('call.ended');
    assert.deepEqual(again.events.map((e) => e.json), made.host.events.slice(1));
    again.close();
  });

  test('what is not here any more is told as a gap', async (t) => {
    const made = await rig(t);
    const first = await read(made);
    await oneCall(made);
    await first.wait('call.ended');
    const { lastId } = first;
    first.close();
    await made.host.stop();
    await made.start();
    const stale = await read(made, { lastId });
    const gap = await stale.wait('gap');
    assert.equal(stale.events[0], gap, 'before anything else');
    assert.equal(gap.json.asked, lastId);
    const ready = await stale.wait('ready');
    assert.equal(ready.id, gap.json.next, 'and then all that is here');
    assert.notEqual(ready.id.split('-')[0], lastId.split('-')[0], 'another run, another stamp');
    const [stamp, n] = ready.id.split('-');
    for (const asked of [`${stamp}-${Number(n) + 1000}`, `${stamp}-`, 'nonsense', `${stamp}-1x`]) {
      const other = await read(made, { lastId: asked });
      assert.equal((await other.wait('gap', `gap for ${asked}`)).json.asked, asked);
      other.close();
    }
    const fine = await read(made, { lastId: gap.id });
    await fine.wait('ready');
    assert.equal(fine.events[0].name, 'ready', 'the id of the gap itself resumes');
    fine.close();
    stale.close();
  });

  test('a filter shows one call', async (t) => {
    const made = await rig(t);
    const ids = [await oneCall(made), await oneCall(made)];
    const all = await read(made, { lastId: 'from the beginning' });
    await waitFor(() => all.events.filter((e) => e.name === 'call.ended').length === 2, { what: 'both calls' });
    const one = await read(made, { query: `?call=${ids[1]}`, lastId: 'from the beginning' });
    await one.wait('call.ended');
    const wanted = all.events.filter((e) => e.json.call === ids[1]);
    assert.ok(wanted.length > 3);
    assert.deepEqual(one.events.slice(1), wanted);
    all.close();
    one.close();
  });

  test('the door: token, method, query, number of readers', async (t) => {
    const made = await rig(t);
    for (const token of [null, 'wrong'])
      assert.equal((await made.host.api('/events', { token })).status, 401);
    assert.equal((await made.host.api('/events', { method: 'POST' })).status, 405);
    assert.equal((await made.host.api('/events?cal=1')).status, 400);
    assert.equal((await made.host.api(`/events?call=${'x'.repeat(200)}`)).status, 400);
    const head = await made.host.api('/events', { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers.get('content-type')], [200, 'text/event-stream']);
    const readers = [];
    for (let i = 0; i < 32; i++)
      readers.push(await read(made));
    const refused = await made.host.api('/events');
    assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '5']);
    readers.pop().close();
    const next = await waitFor(async () => {
      const reader = await read(made);
      return reader.status === 200 && reader;
    }, { what: 'a place of one that left' });
    [...readers, next].forEach((reader) => reader.close());
  });

  test('a comment comes while nothing happens', async (t) => {
    const made = await rig(t);
    const reader = await read(made);
    await waitFor(() => reader.beats > 0, { timeoutMs: 25000, what: 'a comment' });
    assert.equal(reader.ended, null);
    reader.close();
  });
});
