import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

/** A line to a server on which some requests wait. */
export interface Gate {
  readonly url: string;
  /** Which requests wait, by method and path, and whether a client of the gateway sent them; or only their answers. */
  holds: (method: string, path: string, isClients: boolean) => boolean | 'answer';
  /** Lets all go on that wait, and others from now on; or those whose path begins so. */
  open(path?: string): void;
  /** How many wait. */
  readonly waiting: number;
  close(): void;
}

export async function startGate(target: string): Promise<Gate> {
  const { hostname, port } = new URL(target);
  const agent = new http.Agent({ keepAlive: true });
  const waiting = new Map<() => void, string>();
  const server = http.createServer((request, response) => {
    const { method = '', url: path = '', headers } = request;
    const held = gate.holds(method, path, headers['x-forwarded-for'] !== undefined);
    const pass = (): void => {
      const sent = http.request({ hostname, port, method, path, headers, agent }, (answer) => {
        const bring = (): void => {
          response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
          answer.on('error', () => response.destroy()).pipe(response);
        };
        if (held === 'answer') waiting.set(bring, path);
        else bring();
      });
      sent.on('error', () => response.destroy());
      response.on('close', () => sent.destroy());
      request.pipe(sent);
    };
    if (held === true) waiting.set(pass, path);
    else pass();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const gate: Gate = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    holds: () => false,
    open(beginning) {
      if (beginning === undefined) gate.holds = () => false;
      for (const [pass, path] of waiting) {
        if (!path.startsWith(beginning ?? '')) continue;
        waiting.delete(pass);
        pass();
      }
    },
    get waiting() {
      return waiting.size;
    },
    close() {
      agent.destroy();
      server.closeAllConnections();
      server.close();
    },
  };
  return gate;
}
