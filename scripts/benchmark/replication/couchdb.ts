import { TUNING } from '../../../src/replication/options.js';
import type { Peer } from '../../../src/replication/peer.js';
import { BATCH, batches, type Documents, fill } from './documents.js';
import type { Server } from './server.js';
import { engine } from './servers.js';
import type { CleanUp, Way } from './way.js';

const ITSELF = 'CouchDB to itself';
const LOADER = 'bare loader of CouchDB';
const READER = 'bare reader of CouchDB';
const FOLLOWER = 'bare follower of CouchDB';

/** Rows of a page of the feed: replications ask for as many. */
const PAGE = 4 * BATCH;

/**
 * From and to a CouchDB: by its own replicator, by this engine, and by what does nothing but send the documents, or read
 * them, with as many requests of the same size at once. The reader knows beforehand what there is; the follower learns it
 * from the feed, as a replication has to.
 */
export async function waysOfCouchdb(
  server: Server,
  local: (name: string) => Peer,
  documents: Documents,
  cleanUp: CleanUp,
): Promise<readonly Way[]> {
  const source = `bench-replication-${process.pid}`;
  cleanUp.push(() => server.drop(source));
  await fill(server.peer(source), documents);
  /** To a database that goes again, so that there is room on the disk. */
  const passing = (name: string, run: (target: string) => Promise<void>): Way => ({
    name,
    async run(round) {
      const target = `${source}-${round}`;
      await run(target).finally(() => server.drop(target));
    },
  });
  return [
    passing(ITSELF, (target) => server.replicate(server.urlOf(source), server.urlOf(target))),
    passing(LOADER, (target) => load(server, target, documents)),
    {
      ...passing('here to CouchDB', (target) =>
        engine('to CouchDB', local('source'), () => server.peer(target)).run(0),
      ),
      beside: LOADER,
    },
    { name: READER, run: () => read(server, source, batches(documents)) },
    { name: FOLLOWER, run: () => read(server, source, announced(server, source)), beside: READER },
    {
      ...engine('CouchDB to here', server.peer(source), (round) => local(`fromCouchdb${round}`)),
      beside: READER,
    },
  ];
}

async function load(server: Server, database: string, documents: Documents): Promise<void> {
  await server.done('PUT', database);
  await atOnce(batches(documents), async (batch) => {
    const docs = batch.map(({ text }) => text).join(',');
    await server.done('POST', `${database}/_bulk_docs`, `{"new_edits":false,"docs":[${docs}]}`);
  });
}

/** Names one revision. */
interface Named {
  readonly id: string;
  readonly rev: string;
}

/** Several can go through it at once: each gets what comes next. */
type Queue<T> = Generator<T> | AsyncGenerator<T>;

async function read(server: Server, database: string, all: Queue<readonly Named[]>): Promise<void> {
  await atOnce(all, async (batch) => {
    const docs = batch.map(({ id, rev }) => ({ id, rev }));
    const path = `${database}/_bulk_get?revs=true&latest=true&attachments=false`;
    await server.done('POST', path, JSON.stringify({ docs }));
  });
}

interface Page {
  readonly results: readonly { readonly id: string; readonly changes: readonly { readonly rev: string }[] }[];
  readonly last_seq: string;
}

/** What the feed tells, which is read a page ahead. */
async function* announced(server: Server, database: string): AsyncGenerator<readonly Named[]> {
  const page = (since: string): Promise<Page> =>
    server.get(
      `${database}/_changes?style=all_docs&limit=${PAGE}&seq_interval=${BATCH}&since=${since}`,
    ) as Promise<Page>;
  for (let next = page('0'); ;) {
    const { results, last_seq: last } = await next;
    if (results.length === 0) return;
    next = page(encodeURIComponent(last));
    const all = results.flatMap(({ id, changes }) => changes.map(({ rev }) => ({ id, rev })));
    for (let at = 0; at < all.length; at += BATCH) yield all.slice(at, at + BATCH);
  }
}

/** As many at once as a replication has under way. */
async function atOnce<T>(all: Queue<T>, send: (one: T) => Promise<void>): Promise<void> {
  const work = async (): Promise<void> => {
    for await (const one of all) await send(one);
  };
  await Promise.all(Array.from({ length: TUNING.workers }, work));
}
