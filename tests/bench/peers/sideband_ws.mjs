/* SPDX-License-Identifier: MIT */
/* The peer of sidebands on Node: npm ws and JSON.parse. Arguments: PORT N tls|plain. Prints {"open":N}. */
import WebSocket from 'ws';

const [port, n, how] = process.argv.slice(2);
let open = 0;
let seen = 0;
for (let i = 0; i < Number(n); i += 1) {
  const socket = new WebSocket(`ws${how === 'tls' ? 's' : ''}://127.0.0.1:${port}/v1/realtime?call_id=rtc_peer_${i}`,
    { rejectUnauthorized: false, perMessageDeflate: false });
  socket.on('message', (data) => { seen += JSON.parse(data).type.length; });
  socket.on('close', () => process.exit(seen > 0 ? 0 : 1));
  socket.on('open', () => {
    open += 1;
    if (open === Number(n))
      process.stdout.write(`{"open":${open}}\n`);
  });
}
