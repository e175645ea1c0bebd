// A Fastify that passes every request on with undici and does nothing else: no limits, no rights, no headers of its own.
import { fastify } from 'fastify';
import { Agent } from 'undici';

const [origin] = process.argv.slice(2);
const dispatcher = new Agent({ connections: 1000, pipelining: 1 });
const app = fastify({ bodyLimit: 2 ** 40 });
app.removeAllContentTypeParsers();
app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
app.all('/*', async ({ method, url: path, headers, body }, reply) => {
  delete headers.host;
  delete headers.connection;
  const answer = await dispatcher.request({ origin, method, path, headers, body });
  delete answer.headers.connection;
  delete answer.headers['keep-alive'];
  delete answer.headers['transfer-encoding'];
  return reply.code(answer.statusCode).headers(answer.headers).send(answer.body);
});
console.log(await app.listen({ host: '127.0.0.1', port: 0 }));
