import type { Dispatcher } from 'undici';
import { HttpPeer } from '../../../src/replication/http/peer.js';
import type { Peer } from '../../../src/replication/peer.js';

/** A server that is asked as an admin. */
export class Server {
  readonly #url: URL;
  readonly #login: string;
  readonly #headers: Readonly<Record<string, string>>;

  /** @param url with the name and password of an admin */
  constructor(
    url: string,
    private readonly dispatcher: Dispatcher,
  ) {
    this.#url = new URL(url);
    this.#login = `${this.#url.username}:${this.#url.password}`;
    this.#headers = { authorization: `Basic ${Buffer.from(this.#login).toString('base64')}` };
  }

  peer(database: string): Peer {
    const url = `${this.#url.origin}/${database}/`;
    return new HttpPeer({ url, headers: this.#headers, dispatcher: this.dispatcher });
  }

  /** Of a database, as other servers are told it. */
  urlOf(database: string): string {
    return `http://${this.#login}@${this.#url.host}/${database}`;
  }

  /** Has it replicate by itself, to the end. */
  async replicate(source: string, target: string): Promise<void> {
    await this.done('POST', '_replicate', JSON.stringify({ source, target, create_target: true }));
  }

  async drop(database: string): Promise<void> {
    await this.done('DELETE', database);
  }

  /** Sends a request and passes over its answer. @throws Error for any status that is no success */
  async done(method: 'PUT' | 'POST' | 'DELETE', path: string, body?: string): Promise<void> {
    const answer = await this.#send(method, path, body);
    if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${await answer.body.text()}`);
    // A long answer is read to its end, too.
    await answer.body.dump({ limit: Infinity });
  }

  async get(path: string): Promise<unknown> {
    return (await this.#send('GET', path)).body.json();
  }

  #send(method: Dispatcher.HttpMethod, path: string, body?: string): Promise<Dispatcher.ResponseData> {
    return this.dispatcher.request({
      origin: this.#url.origin,
      path: `/${path}`,
      method,
      headers: { ...this.#headers, 'content-type': 'application/json' },
      // A replication answers at its end.
      headersTimeout: 0,
      ...(body !== undefined && { body }),
    });
  }
}
