// A Fastify that does nothing but read a request and send bytes: what an answer costs before anything is looked up.
// It answers every request with what was last put to /answer.
import { fastify } from 'fastify';

const app = fastify({ bodyLimit: 2 ** 30 });
let answer = Buffer.alloc(0);
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) =>
  done(null, body),
);
app.put('/answer', async (request) => {
  answer = request.body;
  return { ok: true };
});
app.all('/*', async (_request, reply) => reply.type('application/json').send(answer));
console.log(await app.listen({ host: '127.0.0.1', port: 0 }));
