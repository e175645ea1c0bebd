import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Connection, type Endpoint, endpointOf, requestBytes } from '../../../scripts/benchmark/client.js';
import type { Random } from '../support/random.js';
import { documents } from '../support/documents.js';

/** A load of requests of all kinds on databases of the form that `documents` gives them. */
export interface Load {
  /** With the name and password of an admin. */
  readonly url: string;
  readonly databases: readonly string[];
  /** Documents that each of them has. */
  readonly count: number;
  /** Requests a second, of all kinds and databases together. */
  readonly rate: number;
  readonly milliseconds: number;
  readonly random: Random;
}

/** Milliseconds from request to answer, by kind, lowest first. */
export type Latencies = ReadonlyMap<Kind, readonly number[]>;

type Kind = 'get' | 'put' | 'changes' | 'all-docs' | 'bulk';

/** What comes how often. */
const MIX: readonly (readonly [Kind, number])[] = [
  ['get', 0.7],
  ['put', 0.2],
  ['changes', 0.045],
  ['all-docs', 0.045],
  ['bulk', 0.01],
];
const PAGE = 100;
const BULK = 50;

/** Runs such a load. Requests are sent at fixed times, however long answers take, and none waits for another. */
export async function mixedLoad(load: Load): Promise<Latencies> {
  const latencies = new Map<Kind, number[]>(MIX.map(([kind]) => [kind, []]));
  const requests = new Requests(load);
  const free: Connection[] = [];
  const run = async (due: number): Promise<void> => {
    await pause(due);
    const connection = free.pop() ?? (await Connection.open(requests.endpoint));
    const kind = pick(load.random);
    const start = performance.now();
    await requests.send(kind, connection);
    latencies.get(kind)?.push(performance.now() - start);
    free.push(connection);
  };
  const step = 1000 / load.rate;
  try {
    await Promise.all(Array.from({ length: load.milliseconds / step }, (_, at) => run(at * step)));
  } finally {
    for (const connection of free) connection.close();
  }
  for (const all of latencies.values()) all.sort((a, b) => a - b);
  return latencies;
}

/** Of values with the lowest first. */
export const percentile = (sorted: readonly number[], percent: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN;

function pick(random: Random): Kind {
  let left = random.next();
  for (const [kind, share] of MIX) {
    left -= share;
    if (left < 0) return kind;
  }
  return 'get';
}

class Requests {
  readonly endpoint: Endpoint;
  readonly #fresh: Iterator<Record<string, unknown>, void>;
  /** How far the feed of a database was read. */
  readonly #since = new Map<string, string>();

  constructor(private readonly load: Load) {
    this.endpoint = endpointOf(load.url);
    // Whatever the seed, they are in no database yet.
    this.#fresh = documents(Number.MAX_SAFE_INTEGER, 500, `${randomUUID()}-`);
  }

  async send(kind: Kind, connection: Connection): Promise<void> {
    const { random, databases, count } = this.load;
    const database = databases[random.below(databases.length)] ?? '';
    const id = `doc-${String(random.below(count)).padStart(7, '0')}`;
    switch (kind) {
      case 'get':
        return this.#must(connection, 'GET', `/${database}/${id}`);
      case 'put':
        return this.#put(connection, database);
      case 'bulk':
        return this.#must(connection, 'POST', `/${database}/_bulk_docs`, {
          docs: Array.from({ length: BULK }, () => this.#next()),
        });
      case 'all-docs': {
        const range = `limit=${String(PAGE)}&start_key=${encodeURIComponent(`"${id}"`)}`;
        return this.#must(connection, 'GET', `/${database}/_all_docs?include_docs=true&${range}`);
      }
      case 'changes':
        return this.#follow(connection, database);
    }
  }

  #put(connection: Connection, database: string): Promise<void> {
    const doc = this.#next();
    return this.#must(connection, 'PUT', `/${database}/${String(doc._id)}`, doc);
  }

  #next(): Record<string, unknown> {
    const { value } = this.#fresh.next();
    return value ?? {};
  }

  async #follow(connection: Connection, database: string): Promise<void> {
    const since = encodeURIComponent(this.#since.get(database) ?? '0');
    const request = requestBytes(
      this.endpoint,
      'GET',
      `/${database}/_changes?limit=${String(PAGE)}&since=${since}`,
    );
    const { status, body } = await connection.send(request, true);
    const [, last = '0', pending] = /"last_seq":"([^"]+)","pending":(\d+)/.exec(body.toString()) ?? [];
    if (status !== 200) throw new Error(`_changes: ${String(status)}`);
    // From the beginning again when all was read.
    this.#since.set(database, pending === '0' ? '0' : last);
  }

  async #must(connection: Connection, method: string, path: string, body?: unknown): Promise<void> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const { status } = await connection.send(requestBytes(this.endpoint, method, path, text), false);
    if (status >= 300) throw new Error(`${method} ${path}: ${String(status)}`);
  }
}
