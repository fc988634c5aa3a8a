/* SPDX-License-Identifier: MIT */
/* t-limit: 300 */
/* The index over 10,000 memory files, by itself (serve_index.c): the first scan, a restart, searches, reads, changes. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { buildDir } from '../lib/util.mjs';
import * as kit from './kit.mjs';

process.stdout.write(`machine: ${kit.machine()}\n`);
kit.pin(0, false);
const pinned = kit.serverCore === null ? [] : ['taskset', '-c', String(kit.serverCore)];
const [program, ...args] = [...pinned, path.join(buildDir, 'tests/bench/serve_index')];
const x = JSON.parse(execFileSync(program, args, { encoding: 'utf8' }));
if (x.failed > 0)
  throw new Error(`${x.failed} questions had no answer`);
const files = `index of ${x.files} files of ${x.file_bytes} bytes`;
const row = (name, value, more = {}) => kit.row({ row: `${files}: ${name}`, value, unit: 'ms', ...more });
row('first scan', x.first_scan_ms, { note: `${x.first_scan_cpu_ms.toFixed(0)} ms of CPU` });
row('a restart', x.restart_ms);
row('a change is found, longest of 20', x.change_max_ms, { aim: '< 2000 ms', met: x.change_max_ms < 2000 });
row('search, p50', x.search_p50_ms, { note: `${x.questions} questions; ${x.search_cpu_p50_ms} ms of CPU` });
row('search, p99', x.search_p99_ms, { aim: '< 20 ms', met: x.search_p99_ms < 20, note: `longest ${x.search_max_ms} ms; `
  + `${x.search_cpu_p99_ms} ms of CPU; by kind of question ${Object.entries(x.p99_by_kind_ms).map(([k, v]) => `${k} ${v}`).join(', ')}` });
row('read of 50 lines, p50', x.get_p50_ms);
row('read of 50 lines, p99', x.get_p99_ms);
for (const [what, value, unit, more] of [['CPU', x.append_cpu_ms, 'ms', {}], ['bytes read', x.append_read_kib, 'KiB', {
  note: 'the note is read whole, for nothing else tells of a beginning that was written over' }],
['bytes written', x.append_written_kib, 'KiB', {}]])
  row(`an append to a note of 900 KB, ${what}`, value, { unit, ...more });
kit.table();
process.exit(0);
