import { TUNING } from '../../../src/replication/options.js';
import type { Peer } from '../../../src/replication/peer.js';
import { batches, type Documents, fill } from './documents.js';
import type { Server } from './server.js';
import { engine } from './servers.js';
import type { CleanUp, Way } from './way.js';

const ITSELF = 'CouchDB to itself';
const LOADER = 'bare loader of CouchDB';
const READER = 'bare reader of CouchDB';

/**
 * From and to a CouchDB: by its own replicator, by this engine, and by what does nothing but send the documents, or read
 * them, with as many requests of the same size at once.
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
    { name: READER, run: () => read(server, source, documents) },
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

async function read(server: Server, database: string, documents: Documents): Promise<void> {
  await atOnce(batches(documents), async (batch) => {
    const docs = batch.map(({ id, rev }) => ({ id, rev }));
    const path = `${database}/_bulk_get?revs=true&latest=true&attachments=false`;
    await server.done('POST', path, JSON.stringify({ docs }));
  });
}

/** As many at once as a replication has under way. */
async function atOnce<T>(all: Generator<T>, send: (one: T) => Promise<void>): Promise<void> {
  const work = async (): Promise<void> => {
    for (const one of all) await send(one);
  };
  await Promise.all(Array.from({ length: TUNING.workers }, work));
}
