import type PouchDB from 'pouchdb-node';
import type { Doc } from 'pouchdb-node';

/** Ids that tempt somebody to escape, to split, or to look them up in an object. */
export const ODD_IDS: readonly string[] = [
  'with space',
  'a/b/c',
  'plus+and%20percent',
  '100%',
  '?query=1&x#hash',
  'quote"and\\backslash',
  "it's",
  ':colon:',
  'ünïcödé',
  '日本語',
  '\u{1f600} emoji',
  'ÿ and Ā',
  '\uffff last',
  '~',
  '0',
  'constructor',
  'toString',
  'tab\there',
  '-',
  '..',
  '.',
  'A',
  'long-'.repeat(100),
  '_design/odd',
  '_design/with space/and slash',
];

/** A database with what a replication has to carry: plain, odd, deleted and conflicting documents. */
export async function fill(db: PouchDB, who: string): Promise<void> {
  const plain = Array.from({ length: 100 }, (_, n): Doc => ({ _id: `${who}-${String(n)}`, n, who }));
  const odd = ODD_IDS.map((_id): Doc => ({
    _id,
    who,
    odd: true,
    nested: { list: [1, 'two', null, { three: 3 }] },
  }));
  // An id that both make is a conflict as soon as they meet.
  const written = await db.bulkDocs([...plain, ...odd]);
  const bad = written.find(({ error }) => error !== undefined);
  if (bad) throw new Error(`could not write ${JSON.stringify(bad)}`);
  for (const { id, rev } of written.slice(0, 20)) await db.remove(id, rev);
  for (const { id, rev } of written.slice(20, 40)) {
    const second = await db.put({ _id: id, _rev: rev, who, edited: 1 });
    await db.put({ _id: id, _rev: second.rev, who, edited: 2 });
  }
  await db.bulkDocs(branches(who), { new_edits: false });
}

/** Documents with several leaves: two alive, one alive beside a deleted one, all deleted. */
function branches(who: string): Doc[] {
  const hash = (text: string): string =>
    Array.from(`${who}${text}`, (letter) => letter.charCodeAt(0).toString(16))
      .join('')
      .padEnd(32, '0')
      .slice(0, 32);
  const leaf = (id: string, name: string, rest: Partial<Doc> = {}): Doc => ({
    _id: id,
    _rev: `3-${hash(name)}`,
    _revisions: { start: 3, ids: [hash(name), hash('middle'), hash('root')] },
    name,
    ...rest,
  });
  return [
    leaf(`${who}-two`, 'a'),
    leaf(`${who}-two`, 'b'),
    leaf(`${who}-half`, 'c'),
    leaf(`${who}-half`, 'd', { _deleted: true }),
    leaf(`${who}-gone`, 'e', { _deleted: true }),
    leaf(`${who}-gone`, 'f', { _deleted: true }),
    // Both sides know it by another leaf.
    leaf('shared', `g-${who}`),
  ];
}
