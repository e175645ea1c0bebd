import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';

/** Bytes that may be on their way in one direction of a connection: what a long line holds. */
const WINDOW = 8 << 20;

export interface DelayProxy {
  readonly port: number;
  close(): Promise<void>;
}

/** Passes connections on to a port of this machine, each byte so many milliseconds later, in both directions. */
export async function startDelayProxy(target: number, delay: number): Promise<DelayProxy> {
  const sockets = new Set<Socket>();
  const server = net.createServer((near) => {
    const far = net.connect(target, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      pass(from, to, delay);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function pass(from: Socket, to: Socket, delay: number): void {
  let underWay = 0;
  from.on('data', (chunk) => {
    underWay += chunk.length;
    if (underWay > WINDOW) from.pause();
    setTimeout(() => {
      underWay -= chunk.length;
      if (underWay <= WINDOW) from.resume();
      if (!to.destroyed) to.write(chunk);
    }, delay);
  });
  from.on('end', () => setTimeout(() => to.end(), delay));
}
