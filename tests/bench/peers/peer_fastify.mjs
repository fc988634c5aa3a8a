/* SPDX-License-Identifier: MIT */
/* The peer as most would write it on Node: fastify, the webhook library of the specification. In memory. Prints {"port"}. */
import Fastify from 'fastify';
import { Webhook } from 'standardwebhooks';

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const known = new Set();
const app = Fastify({ keepAliveTimeout: 120000 });

/* The signature is over the bytes as they came. */
app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => done(null, body));
app.post('/webhook', (request, reply) => {
  let event;
  try {
    event = webhook.verify(request.body, request.headers);
  } catch {
    return reply.code(401).send({ ok: false });
  }
  if (event.type === 'realtime.call.incoming')
    known.add(event.data.call_id);
  return reply.send({ ok: true });
});
await app.listen({ port: 0, host: '127.0.0.1', backlog: 1024 });
process.stdout.write(`{"port":${app.server.address().port}}\n`);
