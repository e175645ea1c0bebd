import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { CouchError } from '../errors.js';
import { errorBody, protocolError, retryHeaders } from './errors.js';
import { requestId } from './ids.js';

/**
 * Answers what no resource was found for, or asked for.
 * @param patience milliseconds for the rest of the body
 */
export function refuse(
  response: ServerResponse,
  error: CouchError,
  patience: number,
  headers: readonly string[] = [],
): void {
  const body = `${errorBody(error)}\n`;
  response
    .writeHead(error.status, [
      'Cache-Control',
      'must-revalidate',
      'Content-Type',
      'application/json',
      'Content-Length',
      String(Buffer.byteLength(body)),
      'X-Couch-Request-ID',
      requestId(),
      ...retryHeaders(error),
      ...headers,
    ])
    .end(body);
  letEnd(response.req, patience);
}

/** A body that nobody wants is thrown away as it comes, but not for ever: the client has to be done with it in time. */
export function letEnd(request: IncomingMessage, patience: number): void {
  if (request.complete || request.destroyed) return;
  const end = setTimeout(() => request.socket.destroy(), patience);
  request.once('close', () => {
    clearTimeout(end);
  });
}

/** Answers what Node could not take for a request; there is nothing but the socket to write to. */
export function refuseBytes(error: NodeJS.ErrnoException, socket: Socket, last?: ServerResponse): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  if (!socket.writable || isAnswering(last)) {
    socket.destroy();
    return;
  }
  const answer = protocolError(error.code);
  const body = `${errorBody(answer)}\n`;
  socket.end(
    `HTTP/1.1 ${String(answer.status)} ${answer.error}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${String(Buffer.byteLength(body))}\r\nX-Couch-Request-ID: ${requestId()}\r\n` +
      `Connection: close\r\n\r\n${body}`,
  );
}

/** Whether the last answer of a connection, or one before it, is under way: another would stand in the midst of it. */
function isAnswering(last: ServerResponse | undefined): boolean {
  if (last === undefined || last.writableFinished) return false;
  return last.socket === null || last.headersSent;
}
