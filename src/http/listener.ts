import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Config } from '../config/schema.js';
import { uriTooLong } from '../errors.js';
import type { Connections } from './connections.js';
import { depart } from './departures.js';
import { refuse, refuseBytes } from './refusals.js';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** Node looks for connections that are late so often within their time. */
const LOOKS = 4;

/** Node's server with our limits: what is beyond them is refused before anything else is asked about it. */
export function createListener(
  handler: Handler,
  config: Pick<Config, 'limits'>,
  connections: Connections,
): Server {
  const { maxHeaderSize, headersTimeout, keepAliveTimeout, progressTimeout } = config.limits;
  /** The last answer of each connection. */
  const last = new WeakMap<Socket, ServerResponse>();
  const onRequest: Handler = (request, response) => {
    const { socket, url = '' } = request;
    last.set(socket, response);
    const refusal = connections.refusal(socket);
    if (refusal !== undefined) refuse(response, refusal, progressTimeout, ['Connection', 'close']);
    else if (url.length > config.limits.maxUriLength) refuse(response, uriTooLong(), progressTimeout);
    else handler(request, response);
  };
  const server = createServer(
    {
      maxHeaderSize,
      headersTimeout,
      keepAliveTimeout,
      // Bodies may take as long as they need while they make progress; see patience.ts.
      requestTimeout: 0,
      // CouchDB needs none, and Node's own answer says nothing.
      requireHostHeader: false,
      connectionsCheckingInterval: Math.ceil(headersTimeout / LOOKS),
    },
    onRequest,
  );
  // Whoever wants the body says so (exchange.ts).
  server.on('checkContinue', onRequest);
  // As to CouchDB, other expectations mean nothing.
  server.on('checkExpectation', onRequest);
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // Behind the answers to earlier requests: one that is ready by the end of this turn leaves then.
    setImmediate(() => {
      depart(() => {
        refuseBytes(error, socket, last.get(socket));
      });
    });
  });
  connections.watch(server);
  return server;
}
