import { createError, MISSING_DOC } from 'pouchdb-errors';
import { adapterFun } from 'pouchdb-utils';
import { allDocs } from './all-docs.js';
import type { AdapterHost, AdapterMethods, AdapterOptions, Callback } from './api.js';
import { readBytes, withReader } from './attachments.js';
import { BODIES_ALONE, bulkDocs } from './bulk-docs.js';
import { ChangesFeed } from './changes.js';
import { getDocument } from './documents.js';
import { answer, cannotOpen, toPouchError } from './failures.js';
import { getLocal, putLocal, removeLocal } from './locals.js';
import { purge } from './purge.js';
import { openStore, type Store } from './stores.js';

/** PouchDB's adapter over our store: called with the PouchDB object that gets its methods. */
export function adapter(this: AdapterHost, options: AdapterOptions, callback: Callback<AdapterHost>): void {
  this._remote = false;
  openFor(this, options).then(
    () => callback(null, this),
    (error: unknown) => callback(error),
  );
}

/** Whether it works in this environment. */
adapter.valid = (): boolean => true;
/** Names are paths, and taken as they are. */
adapter.use_prefix = false;

async function openFor(host: AdapterHost, options: AdapterOptions): Promise<void> {
  if (options.db !== undefined) {
    throw cannotOpen('the option db is not supported: this adapter has its own LevelDB');
  }
  const store = await openStore(options.name);
  Object.assign(host, readers(store), writers(host, store, options), life(store));
}

type Readers = Pick<
  AdapterMethods,
  '_id' | '_info' | '_get' | '_getRevisionTree' | '_getAttachment' | '_allDocs' | '_changes' | '_getLocal'
>;

const readers = ({ database }: Store): Readers => ({
  _id(callback) {
    answerNow(() => database.pouchId, callback);
  },
  _info(callback) {
    answerNow(
      () => ({
        doc_count: database.docCount,
        update_seq: database.updateSeq,
        backend_adapter: 'classic-level',
      }),
      callback,
    );
  },
  _get(id, options, callback) {
    answerNow(() => getDocument(database, id, options), callback);
  },
  _getRevisionTree(id, callback) {
    answerNow(() => {
      const record = database.get(id);
      if (record === undefined) throw createError(MISSING_DOC);
      return record.tree;
    }, callback);
  },
  _getAttachment(_id, _name, attachment, { binary = false }, callback) {
    answer(
      withReader(database, (reader) => readBytes(reader, attachment, binary)),
      callback,
    );
  },
  _allDocs(options, callback) {
    answer(allDocs(database, options), callback);
  },
  _changes(options) {
    const feed = new ChangesFeed(database, options);
    feed.start();
    return { cancel: () => feed.cancel() };
  },
  _getLocal(id, callback) {
    answerNow(() => getLocal(database, id), callback);
  },
});

type Writers = Pick<
  AdapterMethods,
  '_bulkDocs' | '_putLocal' | '_removeLocal' | '_doCompaction' | '_purge' | 'purge'
>;

const writers = (host: AdapterHost, store: Store, options: AdapterOptions): Writers => ({
  _bulkDocs({ docs }, bulkOptions, callback) {
    const { revs_limit: limit = 0 } = options;
    const settings = {
      // PouchDB takes 0 for its default.
      revsLimit: limit > 0 ? limit : undefined,
      deterministicRevs: options.deterministic_revs !== false,
      autoCompaction: host.auto_compaction === true,
    };
    answer(bulkDocs(store.database, docs, bulkOptions, settings), callback);
  },
  _putLocal(doc, callback) {
    answer(putLocal(store.database, doc), callback);
  },
  _removeLocal(doc, callback) {
    answer(removeLocal(store.database, doc), callback);
  },
  _doCompaction(id, revs, callback) {
    answer(compact(store, id, revs), callback);
  },
  ...purger((id, rev) => purge(store.database, id, rev, host.purged_infos_limit ?? 1000)),
});

function purger(work: AdapterMethods['_purge']): Pick<AdapterMethods, '_purge' | 'purge'> {
  const method: typeof work = (id, rev) =>
    work(id, rev).catch((error: unknown) => {
      throw toPouchError(error);
    });
  return { _purge: method, purge: adapterFun('purge', method) };
}

/** Drops the bodies of revisions. */
async function compact({ database }: Store, id: string, revs: readonly string[]): Promise<undefined> {
  const bodySeqs = revs.length === 0 ? undefined : database.get(id)?.bodySeqs;
  if (bodySeqs === undefined) return;
  const seqs = revs.map((rev) => bodySeqs.get(rev)).filter((seq) => seq !== undefined);
  const facts = await database.bodyFacts(seqs);
  await database.transact({
    ids: [id],
    weight: revs.length * 64,
    run: (transaction) => {
      transaction.compact(id, facts, { ...BODIES_ALONE, revs: new Set(revs) });
    },
  });
}

const life = (store: Store): Pick<AdapterMethods, '_close' | '_destroy'> => ({
  _close(callback) {
    answer(
      store.close().then(() => undefined),
      callback,
    );
  },
  _destroy(_options, callback) {
    answer(
      store.destroy().then(() => ({ ok: true as const })),
      callback,
    );
  },
});

/** What needs no waiting. */
function answerNow<T>(work: () => T, callback: Callback<T>): void {
  let result: T;
  try {
    result = work();
  } catch (error) {
    callback(toPouchError(error));
    return;
  }
  callback(null, result);
}
