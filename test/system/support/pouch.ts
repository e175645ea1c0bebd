import memory from 'pouchdb-adapter-memory';
import PouchDB, { type ReplicationOptions } from 'pouchdb-node';
import { type Couch, type Changes, documentPath } from './couch.js';
import { leavesOf, pouchLeaves, pouchTrees, treesOf, type TreeSource, type Trees } from './trees.js';
import { until } from './wait.js';

PouchDB.plugin(memory);
export { PouchDB, pouchTrees };

/** For live replications: they try again soon after the server was away. */
export const live: ReplicationOptions = {
  live: true,
  retry: true,
  batch_size: 250,
  back_off_function: (delay) => (delay === 0 ? 50 : Math.min(delay * 2, 400)),
};

/**
 * A database of a server. The replicator asks for its info on the side, and does not handle that the server is away
 * just then, which ends the process: here that question waits, also for a server that is not coming back.
 */
export function remotePouch(url: string, auth: { username: string; password: string }): PouchDB {
  const db = new PouchDB(url, { auth });
  const info = db.info.bind(db);
  const never = new Promise<never>(() => undefined);
  db.info = () => until('the server answers PouchDB', info).catch(() => never);
  return db;
}

/** The server's documents, read with the fewest and plainest requests; with the bytes of attachments if so asked. */
export function serverSource(couch: Couch, database: string, attachments = false): TreeSource {
  const query = `open_revs=all&revs=true${attachments ? '&attachments=true' : ''}`;
  return {
    rows: async () =>
      ((await couch.get(`/${encodeURIComponent(database)}/_changes`)) as Changes).results as never,
    openRevs: async (id) =>
      (await couch.must('GET', `${documentPath(database, id)}?${query}`, {
        headers: { accept: 'application/json' },
      })) as never,
  };
}

export const serverTrees = (couch: Couch, database: string, attachments = false): Promise<Trees> =>
  treesOf(serverSource(couch, database, attachments));

/** Waits until the server and all replicas have the same leaves. */
export async function untilEqual(
  couch: Couch,
  database: string,
  replicas: readonly PouchDB[],
  ceiling = 60_000,
): Promise<void> {
  const server = async (): Promise<string> =>
    leavesOf(((await couch.get(`/${database}/_changes?style=all_docs`)) as Changes).results);
  await until(
    'all replicas have the same leaves',
    async () => {
      const wanted = await server();
      for (const replica of replicas) if ((await pouchLeaves(replica)) !== wanted) return false;
      return wanted === (await server());
    },
    { ceiling, step: 200 },
  );
}
