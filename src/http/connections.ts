import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { type CouchError, overloaded, tooManyRequests } from '../errors.js';

export interface ConnectionLimits {
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
}

/** So many connections at once are told that they are too many; what comes then is closed without a word. */
const HEARD = 100;

/** How long a connection that is too many may take to send its request and to read why it is refused, in milliseconds. */
const HEARING_MS = 5000;

/** Counts the connections, and refuses those that are too many: where they ask for something, they are told so. */
export class Connections {
  readonly #refused = new WeakMap<Socket, CouchError>();
  readonly #byAddress = new Map<string, number>();
  #open = 0;
  #heard = 0;

  constructor(private readonly limits: ConnectionLimits) {}

  /** Counts what a server accepts. */
  watch(server: Server): void {
    server.on('connection', (socket: Socket) => {
      this.#take(socket);
    });
  }

  /** Why requests of a connection are refused; undefined where they are not. */
  refusal(socket: Socket): CouchError | undefined {
    return this.#refused.get(socket);
  }

  #take(socket: Socket): void {
    const address = clientOf(socket.remoteAddress);
    const refusal = this.#judge(address);
    if (refusal === undefined) {
      this.#count(address, 1);
      socket.once('close', () => {
        this.#count(address, -1);
      });
      return;
    }
    // They are not of those that are let in, so that one address takes no place of another's.
    if (this.#heard >= HEARD) {
      socket.destroy();
      return;
    }
    this.#heard++;
    this.#refused.set(socket, refusal);
    const end = setTimeout(() => socket.destroy(), HEARING_MS);
    socket.once('close', () => {
      clearTimeout(end);
      this.#heard--;
    });
  }

  #judge(address: string): CouchError | undefined {
    const { maxConnections, maxConnectionsPerAddress } = this.limits;
    if (this.#open >= maxConnections) {
      return overloaded('too many connections are open (limits.maxConnections)');
    }
    if ((this.#byAddress.get(address) ?? 0) >= maxConnectionsPerAddress) {
      return tooManyRequests(
        'too many connections are open from this address (limits.maxConnectionsPerAddress)',
      );
    }
    return undefined;
  }

  #count(address: string, change: 1 | -1): void {
    this.#open += change;
    const count = (this.#byAddress.get(address) ?? 0) + change;
    if (count === 0) this.#byAddress.delete(address);
    else this.#byAddress.set(address, count);
  }
}

/** What stands for one client: an IPv4 address, or the 64 bits in front that one network of IPv6 has. */
export function clientOf(address = ''): string {
  if (!address.includes(':') || address.includes('.')) return address.slice(address.lastIndexOf(':') + 1);
  const [head = '', tail] = address.split('%', 1)[0]?.split('::') ?? [];
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - front.length - back.length;
  return [...front, ...Array.from({ length: zeros }, () => '0'), ...back].slice(0, 4).join(':');
}
