/* SPDX-License-Identifier: MIT */
// An HTTP or HTTPS server on loopback that knows its sockets, and small helpers around it.
import http from 'node:http';
import https from 'node:https';

/** Resets a TCP connection (RST, no FIN), also below TLS. */
export function resetSocket(socket) {
  const raw = socket._parent ?? socket;
  if (typeof raw.resetAndDestroy === 'function' && !raw.destroyed)
    raw.resetAndDestroy();
  socket.destroy();
}

/** Reads a body of at most `max` bytes; null when it is longer or cut. */
export function readBody(req, max = 4 * 1024 * 1024) {
  return new Promise((resolve) => {
    const chunks = [];
    let size = 0;
    req.on('data', (chunk) => {
      size += chunk.length;
      if (size <= max)
        chunks.push(chunk);
    });
    req.on('end', () => resolve(size <= max ? Buffer.concat(chunks) : null));
    req.on('error', () => resolve(null));
    req.on('close', () => resolve(null));
  });
}

/** Answers with JSON. */
export function sendJson(res, status, value, headers = {}) {
  const body = JSON.stringify(value);
  res.writeHead(status, { 'content-type': 'application/json',
    'content-length': Buffer.byteLength(body), ...headers });
  res.end(body);
}

/** `ms` of wall time. */
export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/**
 * Starts a server on 127.0.0.1.
 * @param {object} opts port (0 = any), tls (false or {cert, key}), onRequest(req, res), onUpgrade
 * @returns {Promise<{server, port, origin, sockets, accepted, close}>}
 */
export async function listen({ port = 0, tls = false, onRequest, onUpgrade }) {
  const options = { keepAliveTimeout: 120000, headersTimeout: 60000, requestTimeout: 0 };
  const server = tls ? https.createServer({ ...options, cert: tls.cert, key: tls.key }, onRequest)
    : http.createServer(options, onRequest);
  const self = { server, sockets: new Set(), accepted: 0 };
  server.on(tls ? 'secureConnection' : 'connection', (socket) => {
    self.accepted += 1;
    socket.simNumber = self.accepted;
    self.sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => self.sockets.delete(socket));
  });
  if (onUpgrade)
    server.on('upgrade', onUpgrade);
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', backlog: 1024 }, resolve);
  });
  self.port = server.address().port;
  self.origin = `${tls ? 'https' : 'http'}://127.0.0.1:${self.port}`;
  self.close = () => new Promise((resolve) => {
    server.close(() => resolve());
    self.sockets.forEach((socket) => socket.destroy());
  });
  return self;
}
