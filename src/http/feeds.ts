import { overloaded, tooManyRequests } from '../errors.js';
import { clientOf } from './connections.js';
import type { Exchange } from './exchange.js';

export interface FeedLimits {
  readonly maxFeeds: number;
  readonly maxFeedsPerClient: number;
}

/** Counts the feeds that wait for changes. */
export class Feeds {
  readonly #byClient = new Map<string, number>();
  #open = 0;

  constructor(private readonly limits: FeedLimits) {}

  /** Gives a request its place, until it is answered or its client has gone. @throws CouchError 429, 503 */
  enter({ user, request, response }: Exchange): void {
    // A client that has gone already is not heard to go.
    if (response.destroyed) return;
    const client =
      user.name === null ? `address ${clientOf(request.socket.remoteAddress)}` : `user ${user.name}`;
    const { maxFeeds, maxFeedsPerClient } = this.limits;
    if ((this.#byClient.get(client) ?? 0) >= maxFeedsPerClient) {
      throw tooManyRequests('too many feeds of this client are open (limits.maxFeedsPerClient)');
    }
    if (this.#open >= maxFeeds) throw overloaded('too many feeds are open (limits.maxFeeds)');
    this.#count(client, 1);
    response.once('close', () => {
      this.#count(client, -1);
    });
  }

  #count(client: string, change: 1 | -1): void {
    this.#open += change;
    const count = (this.#byClient.get(client) ?? 0) + change;
    if (count === 0) this.#byClient.delete(client);
    else this.#byClient.set(client, count);
  }
}
