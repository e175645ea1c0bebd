import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { parseState } from '../../src/conflicts/states.js';
import type { Database } from '../../src/store/types/database.js';
import { body, newFolder, put, replicate } from '../support/store.js';
import { type Gateway, NAME, startGateway } from './support/gateways.js';

const WAIT = { timeout: 30_000 };

const use = <T>({ databases }: Gateway, work: (db: Database) => T | Promise<T>): Promise<T> =>
  databases.use(NAME, work);

/** Two clients edit a document at the same time. */
async function clash(gateway: Gateway, id: string, members: object = {}): Promise<void> {
  await use(gateway, async (db) => {
    await replicate(db, { _id: id, _rev: '1-o', n: 0 });
    for (const [hash, n] of [
      ['a', 1],
      ['b', 2],
    ] as const)
      await replicate(db, { _id: id, _revisions: { start: 2, ids: [hash, 'o'] }, n, ...members });
  });
}

const merged = (gateway: Gateway, id: string, document: object): Promise<void> =>
  vi.waitFor(
    () =>
      use(gateway, (db) => {
        expect(db.conflicts.get(id)).toBeUndefined();
        expect(body(db, id)).toMatchObject(document);
      }),
    WAIT,
  );

const deferred = (gateway: Gateway, id: string, reason: string): Promise<void> =>
  vi.waitFor(
    () =>
      use(gateway, (db) => {
        expect(parseState(db.conflicts.get(id)?.state)).toMatchObject({
          state: 'deferred',
          reason: expect.stringContaining(reason) as string,
        });
      }),
    WAIT,
  );

/** Sums up what the leaves count. */
const SUM = `({ leaves }) => {
  const [winner, ...others] = leaves;
  let n = Number(winner.doc.n) || 0;
  for (const { doc, base } of others) n += (Number(doc.n) || 0) - (Number(base?.doc.n) || 0);
  return { merge: { ...winner.doc, n } };
}`;

/** Its answers to a conflict are always the same, and others in another place. */
const FIRST = `({ id }) => { Math.first = Math.first || id; return { merge: { first: Math.first } } }`;

/** What goes wrong where a document says so. */
const withFaults = (functionText: string): string => `(conflict) => {
  switch (conflict.leaves[0].doc.fault) {
    case 'loops': for (;;);
    case 'allocates': for (const map = new Map(); ; ) map.set(map.size, {});
    case 'throws': throw new TypeError('no such thing');
    case 'is nonsense': return { pick: '1-x' };
    case 'returns nothing': return;
  }
  return (${functionText})(conflict);
}`;

describe.each(['module', 'design'] as const)('a function of a %s', (kind) => {
  /** Databases with such a function, and what puts another one in its place. */
  async function start(text: string): Promise<{ gateway: Gateway; become: (text: string) => Promise<void> }> {
    const file = path.join(await newFolder(), 'merge.mjs');
    const merge = kind === 'module' ? { module: file } : { design: 'd/m' };
    const limits = { timeout: 1000, patience: 60_000, maxDocumentSize: 8_000_000 };
    const gateway = await startGateway(merge, { limits });
    const become = async (other: string): Promise<void> => {
      if (kind === 'module') await writeFile(file, `export default ${other};`);
      else
        await use(gateway, async (db) => {
          const rev = db.get('_design/d')?.winner;
          await put(db, { _id: '_design/d', ...(rev && { _rev: rev }), merges: { m: other } });
        });
    };
    await become(text);
    return { gateway, become };
  }

  test('merges, and is another one when it changes', async () => {
    const { gateway, become } = await start(`() => ({ defer: 'not yet' })`);
    await clash(gateway, 'a');
    await deferred(gateway, 'a', 'not yet');
    await become(SUM);
    await merged(gateway, 'a', { n: 3 });
  });

  test('that fails leaves the document as it is, and others are merged', async () => {
    const { gateway } = await start(withFaults(SUM));
    const faults = {
      loops: kind === 'module' ? 'more than 1000 ms' : 'timed out',
      allocates: 'failed',
      throws: 'no such thing',
      'is nonsense': '1-x is no leaf',
      'returns nothing': 'has to return',
    };
    for (const fault of Object.keys(faults)) await clash(gateway, fault, { fault });
    await clash(gateway, 'a');
    await merged(gateway, 'a', { n: 3 });
    for (const [fault, reason] of Object.entries(faults)) await deferred(gateway, fault, reason);
  });

  const refused: readonly (readonly [what: string, text: string, reason: string])[] = [
    ['tells the time', `() => ({ merge: { at: Date.now() } })`, 'Date'],
    ['is random', `() => ({ merge: { n: Math.random() } })`, 'not a function'],
    ['loops', `() => { for (;;); }`, kind === 'module' ? 'more than 1000 ms' : 'timed out'],
    ['counts how often it is asked', `() => ({ merge: { n: (Math.n = (Math.n || 0) + 1) } })`, 'asked again'],
    ['keeps what it made first', FIRST, 'asked before'],
    [
      'looks at the order of members',
      `({ leaves }) => ({ merge: { names: Object.keys(leaves[1].doc) } })`,
      'order of members',
    ],
    ['makes no document', `({ leaves }) => ({ merge: leaves })`, 'has to return'],
    ['expects members that documents need not have', `({ leaves }) => leaves[0].doc.x.y`, 'TypeError'],
    ['is no function', `1`, 'function'],
    ['is no text of the language', `({`, 'Error'],
  ];
  // How they are tested is the same wherever they come from, and processes take their time.
  const some = kind === 'module' ? refused.slice(2, 6) : refused;
  test.each(some)(
    'that %s is refused with the reason, until it is another one',
    async (_what, text, reason) => {
      const { gateway, become } = await start(text);
      await clash(gateway, 'a');
      await deferred(gateway, 'a', reason);
      expect(gateway.mergeFunctions.refusals(NAME)).toMatchObject([
        {
          function: expect.stringContaining(kind) as string,
          reason: expect.stringContaining(reason) as string,
        },
      ]);
      await become(SUM);
      gateway.mergeFunctions.reread();
      await merged(gateway, 'a', { n: 3 });
      expect(gateway.mergeFunctions.refusals(NAME)).toEqual([]);
    },
  );
});
