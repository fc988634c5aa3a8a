/* SPDX-License-Identifier: MIT */
// What serving-host.mjs asks its test: the plugin's requests, answered here.
import http from 'node:http';
import path from 'node:path';
import { projectDir } from './util.mjs';

/** Result codes of abi/openclaw_plugin.h. */
export const RC = { OK: 0, EFAIL: -1, EINVAL: -2, ENOTSUP: -6, EBUSY: -8 };

/** Why it cannot run in this build, or false. */
export const servingSkip = /tsan/.test(process.env.OCV_PRELOAD ?? '') && 'ThreadSanitizer cannot look into Node';

class Serving {
  constructor() {
    /** All that was asked: {name, call, request}. */
    this.asked = [];
    /** By name: (request, n, pid) => {rc, reply} or a promise of it; n counts from 1, pid: which host asks. */
    this.answers = { 'session.prepare': () => ({ rc: RC.OK, reply: { session_key: 'agent:main:direct:test' } }) };
    // A host that dies cuts its question short.
    this.server = http.createServer((req, res) => this.onRequest(req, res).catch(() => res.destroy()));
  }

  async onRequest(req, res) {
    let body = '';
    for await (const part of req)
      body += part;
    const name = req.url.slice(1);
    const { call, request, pid } = JSON.parse(body);
    this.asked.push({ name, call, request });
    const n = this.asked.filter((a) => a.name === name).length;
    const answer = await (this.answers[name]?.(request, n, pid) ?? { rc: RC.ENOTSUP });
    res.end(JSON.stringify(answer));
  }

  /** Options for startHost(), and so for a rig: the host that asks here. */
  get host() {
    const preload = process.env.OCV_PRELOAD;
    return { binary: [process.execPath, path.join(projectDir, 'tests/lib/serving-host.mjs')],
      env: { OCV_SERVING: `http://127.0.0.1:${this.server.address().port}`,
        ...(preload ? { LD_PRELOAD: preload, ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:detect_leaks=0` } : {}) } };
  }

  /** A command to the plugin, such as chat.message. */
  async command(host, name, request) {
    const { commands } = host.events.find((e) => e.event === 'ready');
    const res = await fetch(`http://127.0.0.1:${commands}/${name}`, { method: 'POST', body: JSON.stringify(request) });
    return res.json();
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** @returns {Promise<Serving>} */
export async function startServing() {
  const serving = new Serving();
  await new Promise((resolve) => { serving.server.listen(0, '127.0.0.1', resolve); });
  return serving;
}
