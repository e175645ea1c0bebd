// A PouchDB replica in memory that syncs live with one database at a time, whatever becomes of its server.
import { EventEmitter } from 'node:events';
import memory from 'pouchdb-adapter-memory';
import PouchDB from 'pouchdb-node';

PouchDB.plugin(memory);
EventEmitter.defaultMaxListeners = 0;
// PouchDB asks for the info of a database on the side, and does not handle that the server is away just then.
process.on('unhandledRejection', () => undefined);

/**
 * Not `retry`: where a feed fails while a batch is under way, PouchDB 9.0 begins anew and lets the old replication go on,
 * too, from behind batches that it dropped. The checkpoint of that passes over them, whatever the server is.
 */
const REPLICATION = { live: true, retry: false };

export class LiveClient {
  #remote;
  #sync;

  constructor(name) {
    this.local = new PouchDB(name, { adapter: 'memory' });
  }

  /** Syncs with this database from now on. */
  follow({ url, auth }) {
    this.leave();
    this.#remote = new PouchDB(url, { auth });
    this.#keepSyncing();
  }

  /** It ends with the first error, which here only comes of kills and bad lines: so it begins again. */
  #keepSyncing() {
    if (this.#remote === undefined || this.#sync !== undefined) return;
    const sync = this.local.sync(this.#remote, REPLICATION);
    this.#sync = sync;
    const again = () => {
      // It tells its end more than once, and may be another one by now.
      if (this.#sync !== sync) return;
      this.#sync = undefined;
      setTimeout(() => this.#keepSyncing(), 200);
    };
    sync.on('error', again);
    sync.on('complete', again);
    sync.catch(() => undefined);
  }

  /** Resolves once nothing is under way of the sync that goes on now: its server is away. */
  async cut() {
    const sync = this.#sync;
    if (sync !== undefined) await Promise.allSettled([sync.push, sync.pull]);
  }

  /** Stops syncing. */
  leave() {
    const sync = this.#sync;
    this.#remote = this.#sync = undefined;
    sync?.cancel();
  }

  /** As `leavesOf` of trees.ts. */
  async leaves() {
    const { results } = await this.local.changes({ style: 'all_docs' });
    const lines = results.map(({ id, changes }) => [id, ...changes.map(({ rev }) => rev).sort()].join(' '));
    return lines.sort().join('\n');
  }
}
