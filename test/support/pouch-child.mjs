// PouchDB with its own LevelDB adapter, in a process of its own: its LevelDB and ours must not meet in one.
import PouchDB from 'pouchdb-node';

import { answered } from './answered.mjs';
import { answerParent } from './commands.mjs';

const open = new Map();

const databaseOf = (dir, options) => {
  if (!open.has(dir)) open.set(dir, new PouchDB(dir, { adapter: 'leveldb', ...options }));
  return open.get(dir);
};

const settled = async (attempt) => {
  try {
    return await attempt;
  } catch (error) {
    return { error: error.name, status: error.status };
  }
};

const revisionTree = (db, id) =>
  new Promise((resolve, reject) => {
    db._getRevisionTree(id, (error, tree) => (error ? reject(error) : resolve(tree)));
  });

const revsOf = (pos, [hash, , children]) => [
  `${pos}-${hash}`,
  ...children.flatMap((child) => revsOf(pos + 1, child)),
];

async function describe(db, id) {
  const tree = await revisionTree(db, id);
  const leaves = await db.get(id, { open_revs: 'all', revs: true });
  const bodies = {};
  for (const rev of new Set(tree.flatMap(({ pos, ids }) => revsOf(pos, ids)))) {
    const doc = await settled(db.get(id, { rev }));
    if (doc.error === undefined) bodies[rev] = doc;
  }
  return { tree, leaves: leaves.map(({ ok }) => ok), bodies };
}

const commands = {
  bulkDocs: ({ dir, docs, options }) => databaseOf(dir).bulkDocs(docs, options),
  put: ({ dir, doc }) => settled(databaseOf(dir).put(doc)),
  remove: ({ dir, id, rev }) => settled(databaseOf(dir).remove(id, rev)),
  compact: ({ dir }) => databaseOf(dir).compact(),
  /** Any method of a PouchDB object: what it answers, or its error. */
  call: ({ dir, method, args }) => answered(() => databaseOf(dir)[method](...args)),
  open: async ({ dir, options }) => (await databaseOf(dir, options).info()).doc_count,
  async close({ dir }) {
    await databaseOf(dir).close();
    open.delete(dir);
  },
  /** The attachments of every revision whose body is kept: as they are named, and with their bytes. */
  async attachments({ dir, ids }) {
    const db = databaseOf(dir);
    const found = {};
    for (const id of ids) {
      const tree = await revisionTree(db, id).catch(() => []);
      for (const rev of new Set(tree.flatMap(({ pos, ids: node }) => revsOf(pos, node)))) {
        const stubs = await settled(db.get(id, { rev }));
        if (stubs.error !== undefined) continue;
        const { _attachments: full = {} } = await db.get(id, { rev, attachments: true });
        found[`${id}@${rev}`] = { stubs: stubs._attachments ?? {}, full };
      }
    }
    return found;
  },
  /** Everything that can be seen of a database. */
  async dump({ dir, ids, locals }) {
    const db = databaseOf(dir);
    const { doc_count, update_seq } = await db.info();
    const { rows } = await db.allDocs({ include_docs: true, conflicts: true, endkey: '\u{10ffff}' });
    const { results } = await db.changes({ style: 'all_docs', since: 0 });
    const documents = {};
    for (const id of ids) documents[id] = await settled(describe(db, id));
    const found = {};
    for (const id of locals) found[id] = await settled(db.get(id));
    return {
      docCount: doc_count,
      updateSeq: update_seq,
      rows: rows.map(({ id, value, doc }) => ({ id, rev: value.rev, doc })),
      changes: results,
      documents,
      locals: found,
    };
  },
};

answerParent(commands);
