import { join } from 'node:path';
import memory from 'pouchdb-adapter-memory';
import PlainPouch from 'pouchdb-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openDatabase } from '../../src/pouchdb/pouchdb.js';
import type { PouchDatabase, ReplicationResult, StoredDoc } from '../../src/pouchdb/types.js';
import { newFolder } from '../support/store.js';
import { until } from '../system/support/wait.js';

PlainPouch.plugin(memory);

let names = 0;

/** PouchDB's own adapter code, over memory: its LevelDB may not be in this process. */
function plainDatabase(): PouchDatabase {
  const db = new PlainPouch(`embedded-replica-${String(names++)}`, {
    adapter: 'memory',
  }) as unknown as PouchDatabase;
  onTestFinished(() => db.close());
  return db;
}

async function ownDatabase(): Promise<PouchDatabase> {
  const db = openDatabase(join(await newFolder(), 'db'));
  onTestFinished(() => db.close());
  return db;
}

/** Documents with conflicts, deletions and attachments. */
async function fill(db: PouchDatabase, mark: string): Promise<void> {
  const docs = Array.from({ length: 150 }, (_, n) => ({ _id: `${mark}-${String(n)}`, n, mark }));
  const results = await db.bulkDocs(docs);
  const doomed = results.slice(0, 20).flatMap((result) => ('ok' in result ? [result] : []));
  await db.bulkDocs(doomed.map(({ id, rev }) => ({ _id: id, _rev: rev, _deleted: true })));
  await db.put({ _id: 'disputed', mark });
  const bytes = Buffer.from(`bytes of ${mark}`);
  const { rev } = await db.putAttachment(`file-${mark}`, 'one', bytes, 'text/plain');
  await db.putAttachment(`file-${mark}`, 'two', rev, Buffer.alloc(0), 'image/png');
  await db.put({ _id: '_design/d', views: { v: { map: `function (doc) { emit('${mark}'); }` } } });
}

/** Every leaf of every document with its ancestors and the bytes of its attachments. */
async function contentOf(db: PouchDatabase): Promise<Map<string, unknown>> {
  const { results } = await db.changes({ style: 'all_docs', since: 0 });
  const content = new Map<string, unknown>();
  for (const { id } of results) {
    const leaves = await db.get(id, { open_revs: 'all', revs: true, attachments: true });
    const docs = leaves.map((leaf) => ('ok' in leaf ? leaf.ok : leaf)) as StoredDoc[];
    for (const doc of docs) content.set(`${id}@${doc._rev}`, withoutRevpos(doc));
  }
  return content;
}

/** PouchDB takes the generation of the revision that brings the bytes. */
function withoutRevpos(doc: StoredDoc): unknown {
  const files = Object.entries(doc._attachments ?? {}).map(([name, { content_type: type, data }]) => [
    name,
    type,
    data,
  ]);
  return { ...doc, _attachments: files };
}

describe.each(['from ours to plain', 'from plain to ours'])('replication %s PouchDB', (direction) => {
  const pair = async (): Promise<[PouchDatabase, PouchDatabase]> =>
    direction === 'from ours to plain'
      ? [await ownDatabase(), plainDatabase()]
      : [plainDatabase(), await ownDatabase()];

  it('carries every leaf, and goes on where it was', async () => {
    const [source, target] = await pair();
    await fill(source, 'source');
    await fill(target, 'target');
    const run = (): Promise<ReplicationResult> => source.replicate.to(target, { batch_size: 40 });
    expect(await run()).toMatchObject({ ok: true, doc_write_failures: 0, docs_read: 153 });
    const [sent, arrived] = [await contentOf(source), await contentOf(target)];
    for (const [key, doc] of sent) expect([key, arrived.get(key)]).toEqual([key, doc]);
    expect(await run()).toMatchObject({ docs_read: 0 });
    await source.put({ _id: 'later' });
    expect(await run()).toMatchObject({ docs_read: 1, docs_written: 1 });
  });

  it('follows what is written, both ways, until it is cancelled', async () => {
    const [one, two] = await pair();
    await Promise.all([fill(one, 'one'), fill(two, 'two')]);
    const sync = one.sync(two, { live: true, retry: true });
    for (const db of [one, two]) {
      for (let n = 0; n < 10; n++) await db.put({ _id: `live-${db.name}-${String(n)}`, n });
    }
    const equal = async (): Promise<boolean> => {
      const [left, right] = [await contentOf(one), await contentOf(two)];
      return left.size > 320 && left.size === right.size && [...left.keys()].every((key) => right.has(key));
    };
    await until('both have the same', equal);
    expect(await contentOf(one)).toEqual(await contentOf(two));
    expect((await one.get('disputed', { conflicts: true }))._conflicts).toHaveLength(1);
    sync.cancel();
    await sync;
    await one.put({ _id: 'afterwards' });
    await expect(two.get('afterwards')).rejects.toMatchObject({ status: 404 });
  });
});
