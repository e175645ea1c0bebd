import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** The turns of requests that a client sends ahead on one connection. */

/** How many requests of each connection wait for their turn. */
const ahead = new WeakMap<Socket, number>();

/** Node would go on reading them into memory for as long as an earlier one is not answered. */
const MOST_AHEAD = 1000;

/**
 * Waits until the answers to earlier requests of the connection are sent. Requests that a client sends ahead would
 * otherwise hold their answers in memory, and those behind a feed would never hear that the client left.
 * @returns false where the client left meanwhile
 */
export function hasTurn(socket: Socket, response: ServerResponse): boolean | Promise<boolean> {
  if (response.socket !== null) return true;
  // One waits for each request that was sent ahead.
  socket.setMaxListeners(0);
  const waiting = (ahead.get(socket) ?? 0) + 1;
  if (waiting > MOST_AHEAD) {
    socket.destroy();
    return false;
  }
  ahead.set(socket, waiting);
  return new Promise((resolve) => {
    const settle = (): void => {
      ahead.set(socket, (ahead.get(socket) ?? 1) - 1);
      response.off('socket', settle);
      socket.off('close', settle);
      resolve(!socket.destroyed);
    };
    response.on('socket', settle);
    socket.on('close', settle);
  });
}
