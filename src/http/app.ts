import { METHODS, type IncomingMessage } from 'node:http';
import { fastify, type FastifyInstance } from 'fastify';
import { badRequest, illegalDocid, notFound, type CouchError } from '../errors.js';
import { answerRequest } from './answering.js';
import { createListener } from './listener.js';
import { refuse } from './refusals.js';
import { addResource } from './resource.js';
import { allRoutes } from './routes/index.js';
import { Server } from './server.js';
import type { Services } from './services.js';
import { canonicalUrl, decodeSegment, isWellEncoded } from './url.js';

export { routeTable, type Route } from './resource.js';
export type { Services } from './services.js';

/**
 * The HTTP interface. Fastify listens and shuts down; each path is a resource (resource.ts) that writes its answer itself,
 * text as it was stored, which Fastify's serialisation would only slow down.
 */
export function buildApp(services: Services): FastifyInstance {
  const { config } = services.settings;
  const { limits } = config;
  const server = new Server(services);
  const app = fastify({
    serverFactory: (handler) => createListener(handler, config, server.connections),
    exposeHeadRoutes: false,
    return503OnClosing: false,
    rewriteUrl: (request) => canonicalUrl(request.url ?? '/'),
    routerOptions: {
      // The listener knows how long a URL may be; a header cannot have more.
      maxParamLength: limits.maxHeaderSize,
      querystringParser: (text) => text as unknown as Record<string, unknown>,
    },
    // The listener has its own.
    clientErrorHandler: () => undefined,
    frameworkErrors: (_error, request, reply) => {
      reply.hijack();
      refuse(reply.raw, undecodable(request.raw), limits.progressTimeout);
    },
  });
  // Bodies are read by the resources, once it is known that the client may send one.
  for (const method of METHODS) {
    if (method !== 'CONNECT') app.addHttpMethod(method, { hasBody: false, overrideExisting: true });
  }
  allRoutes((resource) => addResource(app, server, resource));
  // One route: one for each method of each path would take a third of a second of each start.
  app.route({
    method: app.supportedMethods,
    url: '/*',
    handler: (request, reply) => answerRequest(server, request, reply),
  });
  app.addHook('onClose', (_app, done) => {
    server.patience.close();
    done();
  });
  app.addHook('preClose', (done) => {
    server.close();
    done();
  });
  return app;
}

/** A path that is no UTF-8 names nothing, and nothing can be made there. */
function undecodable({ method = '', url = '' }: IncomingMessage): CouchError {
  if (!isWellEncoded(url)) return badRequest('invalid_url_encoding');
  const [, , first = '', ...rest] = (url.split('?', 1)[0] ?? '').split('/');
  const isReserved = first === '_design' || first === '_local';
  const [id = '', ...name] = isReserved ? rest : [first, ...rest];
  if (decodeSegment(id) !== undefined && name.length > 0) {
    return method === 'GET' || method === 'HEAD'
      ? notFound('Document is missing attachment')
      : badRequest('Attachment name is not UTF-8 encoded');
  }
  return method === 'PUT' || method === 'POST' ? illegalDocid('Document id must be valid UTF-8') : notFound();
}
