import { cp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { documentText } from '../../src/store/document.js';
import { LevelDatabase } from '../../src/store/level-database.js';
import { compareIds } from '../../src/store/order.js';
import type { StoredRecord } from '../../src/store/record.js';
import { revsOf, type RevNode, type RevTree } from '../../src/revtree/tree.js';
import { feedOf, newFolder, ODD_IDS, put, QUICK, replicate } from '../support/store.js';
import { PouchProcess, type Dump, type Json } from '../support/pouch.js';

let pouch: PouchProcess;

beforeAll(() => {
  pouch = new PouchProcess();
});
afterAll(() => pouch.stop());

// ---- what is written ------------------------------------------------------------------------------------------

/** One interactive step of a document that has a single branch. */
type Step = 'edit' | 'delete' | 'without a revision' | 'with an old revision';

interface History {
  /** Replicated revisions, parents before children; some only come as ancestors of others. */
  readonly revisions: readonly {
    parent: number;
    deleted: boolean;
    skipped: boolean;
    data: unknown;
    hash: number;
  }[];
  readonly steps: readonly Step[];
}

const data = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 8 }),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true, noInteger: true }),
  fc.constantFrom<unknown>(null, true, {}, [], { constructor: 1 }, ['ÿ', { '\u0000': '\u2028' }]),
);

const history: fc.Arbitrary<History> = fc.record({
  revisions: fc.array(
    fc.record({
      parent: fc.nat({ max: 7 }),
      deleted: fc.boolean(),
      skipped: fc.boolean(),
      data,
      hash: fc.nat({ max: 0xffff }),
    }),
    { minLength: 1, maxLength: 9 },
  ),
  steps: fc.array(
    fc.constantFrom<Step>('edit', 'edit', 'delete', 'without a revision', 'with an old revision'),
    { minLength: 1, maxLength: 6 },
  ),
});

/** The replicated documents of a history, each with all its ancestors. */
function replicatedDocuments(id: string, { revisions }: History): object[] {
  const paths: string[][] = [];
  return revisions.flatMap(({ parent, deleted, skipped, data: value, hash }, at) => {
    const above = at === 0 || parent === 7 ? [] : (paths[parent % at] ?? []);
    const own = `${hash.toString(16).padStart(4, '0')}${String(at).padStart(28, '0')}`;
    const ids = [own, ...above];
    paths.push(ids);
    if (skipped) return [];
    const body = { _id: id, _revisions: { start: ids.length, ids }, _rev: `${String(ids.length)}-${own}` };
    return [{ ...body, ...(deleted ? { _deleted: true } : {}), data: value, at }];
  });
}

/** Writes to one directory, either with PouchDB or with ours. */
interface Engine {
  open(): Promise<void>;
  replicate(documents: readonly object[]): Promise<void>;
  /** @returns the revisions, or undefined for a conflict */
  put(documents: readonly object[]): Promise<(string | undefined)[]>;
  putLocal(id: string, rev: string | undefined, value: unknown): Promise<string>;
  removeLocal(id: string, rev: string): Promise<void>;
  dump(ids: readonly string[], locals: readonly string[]): Promise<Dump>;
  close(): Promise<void>;
}

class PouchEngine implements Engine {
  constructor(
    private readonly dir: string,
    private readonly options: object = {},
  ) {}

  async open(): Promise<void> {
    await pouch.open(this.dir, this.options);
  }

  async replicate(documents: readonly object[]): Promise<void> {
    expect(await pouch.bulkDocs(this.dir, documents, { new_edits: false })).toEqual([]);
  }

  async put(documents: readonly object[]): Promise<(string | undefined)[]> {
    return (await pouch.bulkDocs(this.dir, documents)).map(({ ok, rev }) => (ok === true ? rev : undefined));
  }

  async putLocal(id: string, rev: string | undefined, value: unknown): Promise<string> {
    const result = await pouch.put(this.dir, { _id: id, ...(rev === undefined ? {} : { _rev: rev }), value });
    return result.rev ?? `refused: ${JSON.stringify(result)}`;
  }

  async removeLocal(id: string, rev: string): Promise<void> {
    expect(await pouch.remove(this.dir, id, rev)).toMatchObject({ ok: true });
  }

  dump(ids: readonly string[], locals: readonly string[]): Promise<Dump> {
    return pouch.dump(this.dir, ids, locals);
  }

  close(): Promise<void> {
    return pouch.close(this.dir);
  }
}

class OwnEngine implements Engine {
  #open: LevelDatabase | undefined;

  constructor(private readonly dir: string) {}

  get db(): LevelDatabase {
    if (this.#open === undefined) throw new Error('not open');
    return this.#open;
  }

  async open(): Promise<void> {
    this.#open = await LevelDatabase.open('db', this.dir, `${this.dir}.copy`, QUICK);
  }

  async replicate(documents: readonly object[]): Promise<void> {
    const results = await replicate(this.db, ...documents);
    expect(results.every(({ ok }) => ok)).toBe(true);
  }

  async put(documents: readonly object[]): Promise<(string | undefined)[]> {
    return (await put(this.db, ...documents)).map((result) => (result.ok ? result.rev : undefined));
  }

  putLocal(id: string, rev: string | undefined, value: unknown): Promise<string> {
    return this.db.putLocal(id, rev, `"value":${JSON.stringify(value)}`);
  }

  async removeLocal(id: string): Promise<void> {
    expect(await this.db.deleteLocal(id)).toBe(true);
  }

  async dump(ids: readonly string[], locals: readonly string[]): Promise<Dump> {
    const { db } = this;
    const { docCount, updateSeq } = await db.info();
    const rows: Dump['rows'] = [];
    for await (const page of (await db.list({ bodies: true, records: true })).pages) {
      for (const { id, rev, text, record } of page) {
        const conflicts = record
          ?.leaves()
          .filter((leaf) => !leaf.deleted && leaf.rev !== rev)
          .map((leaf) => leaf.rev);
        rows.push({ id, rev, doc: JSON.parse(documentText(text ?? '', { conflicts })) as Json });
      }
    }
    const documents: Dump['documents'] = Object.create(null) as Dump['documents'];
    for (const id of ids) {
      const record = db.get(id);
      documents[id] = record === undefined ? { error: 'not_found' } : describeRecord(db, record);
    }
    const found: Dump['locals'] = Object.create(null) as Dump['locals'];
    for (const id of locals) found[id] = JSON.parse(db.getLocal(id)?.text ?? '{"error":"not_found"}') as Json;
    const changes = (await feedOf(db)).map(({ seq, id, revs, deleted }) => ({
      seq,
      id,
      changes: revs.map((rev) => ({ rev })),
      ...(deleted ? { deleted } : {}),
    }));
    return { docCount, updateSeq, rows, changes, documents, locals: found };
  }

  close(): Promise<void> {
    return this.db.close();
  }
}

function describeRecord(db: LevelDatabase, record: StoredRecord): Dump['documents'][string] {
  const bodies: Record<string, Json> = {};
  for (const rev of revsOf(record.tree)) {
    const text = db.read(record, rev);
    if (text !== undefined) bodies[rev] = JSON.parse(text) as Json;
  }
  const leaves = record.leaves().map(({ rev }) => {
    const text = documentText(db.read(record, rev) ?? '', { revisions: record.revisions(rev) });
    return JSON.parse(text) as Json;
  });
  return { tree: record.tree, leaves, bodies };
}

// ---- how it is compared ---------------------------------------------------------------------------------------

const by =
  <T>(key: (item: T) => string) =>
  (a: T, b: T): number =>
    key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0;

/** Keys in one order, whatever they are called. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .sort(by(([name]) => name))
    .map(([name, part]) => [name, sorted(part)]);
}

const sortedNode = ([hash, state, children]: RevNode): RevNode => [
  hash,
  { status: state.status, ...(state.deleted === true ? { deleted: true } : {}) },
  children.map(sortedNode).sort(by(([child]) => child)),
];

const sortedTree = (tree: RevTree): RevTree =>
  tree
    .map(({ pos, ids }) => ({ pos, ids: sortedNode(ids) }))
    .sort(by(({ pos, ids }) => `${String(pos)}${ids[0]}`));

/** A form in which two dumps of equal databases are equal: what interactive edits were called has its own names. */
function normal(dump: Dump, names: ReadonlyMap<string, string>): string {
  const documents = Object.entries(dump.documents).map(([id, found]): [string, unknown] => {
    if ('error' in found) return [id, 'not found'];
    const { tree, leaves, bodies } = found;
    return [id, { tree: sortedTree(tree), leaves: leaves.sort(by(({ _rev }) => String(_rev))), bodies }];
  });
  const changes = dump.changes.map(({ seq, id, changes: revs, deleted = false }) => ({
    seq,
    id,
    deleted,
    revs: revs.map(({ rev }) => rev).sort(),
  }));
  const rows = dump.rows.map(({ id, rev, doc }) => ({
    id,
    rev,
    doc: { ...doc, _conflicts: ((doc._conflicts ?? []) as string[]).sort() },
  }));
  const locals = Object.entries(dump.locals).map(([id, local]) => [
    id,
    'error' in local ? 'not found' : local,
  ]);
  const text = JSON.stringify(sorted({ ...dump, rows, changes, documents, locals }), undefined, 1);
  return text.replaceAll(/[0-9a-f]{32}/g, (hash) => names.get(hash) ?? hash);
}

/** The first lines that differ, short enough to be read. */
function difference(a: string, b: string): string {
  const [left, right] = [a.split('\n'), b.split('\n')];
  const at = left.findIndex((line, index) => line !== right[index]);
  if (at < 0) return left.length === right.length ? '' : 'one is longer';
  const near = (lines: string[]): string =>
    lines
      .slice(Math.max(0, at - 12), at + 12)
      .map((line) => line.slice(0, 100))
      .join('\n');
  return `${near(left)}\n--- against ---\n${near(right)}`;
}

/** Writes one part of the histories, the same to each directory. Interactive revisions get names that do not depend on who made them. */
async function writePart(
  engine: Engine,
  state: WriterState,
  { replicated, steps, locals }: Part,
): Promise<void> {
  for (const documents of replicated) await engine.replicate(documents);
  for (const [round, row] of steps.entries()) {
    const documents = row.map(({ id, step }) => state.next(id, step));
    const revs = await engine.put(documents);
    revs.forEach((rev, at) => {
      const { id } = row[at] ?? { id: '' };
      state.note(id, documents[at] ?? {}, rev, `${id}#${state.part}.${String(round)}`);
    });
  }
  for (const { id, value } of locals) {
    const rev = state.locals.get(id);
    if (value === undefined) {
      if (rev !== undefined) await engine.removeLocal(id, rev);
      state.locals.delete(id);
    } else {
      state.locals.set(id, await engine.putLocal(id, rev, value));
    }
  }
  state.part += '+';
}

interface Part {
  readonly replicated: readonly (readonly object[])[];
  readonly steps: readonly (readonly { id: string; step: Step }[])[];
  readonly locals: readonly { id: string; value: unknown }[];
}

/** What a writer knows of the documents that it edits, for one directory. */
class WriterState {
  /** Hash → name. */
  readonly names = new Map<string, string>();
  readonly locals = new Map<string, string>();
  readonly #revs = new Map<string, { rev: string; before: string | undefined; deleted: boolean }>();
  readonly outcomes: string[] = [];
  part = '';

  next(id: string, step: Step): object {
    const known = this.#revs.get(id);
    const document = { _id: id, id, step, part: this.part };
    if (known === undefined || known.deleted) return document;
    if (step === 'without a revision') return document;
    if (step === 'with an old revision') return { ...document, _rev: known.before ?? '1-' + '0'.repeat(32) };
    return { ...document, _rev: known.rev, ...(step === 'delete' ? { _deleted: true } : {}) };
  }

  note(id: string, document: { _deleted?: boolean }, rev: string | undefined, name: string): void {
    this.outcomes.push(`${name}: ${rev === undefined ? 'conflict' : rev.replace(/-.*/, '')}`);
    if (rev === undefined) return;
    this.names.set(rev.replace(/^[0-9]+-/, ''), name);
    this.#revs.set(id, { rev, before: this.#revs.get(id)?.rev, deleted: document._deleted === true });
  }
}

const PARTS = 4;
const part = <T>(items: readonly T[], at: number): readonly T[] =>
  items.filter((_, index) => index % PARTS === at);

const LOCALS = ODD_IDS.map((id) => `_local/${id}`);

/** The histories cut into parts; a document's revisions stay in order. */
function partOf(histories: readonly History[], at: number, ids: readonly string[]): Part {
  const rows = histories.map((own, index) => {
    const documents = replicatedDocuments(`r${ids[index] ?? ''}`, own);
    const from = Math.floor((documents.length * at) / PARTS);
    return documents.slice(from, Math.floor((documents.length * (at + 1)) / PARTS));
  });
  // Ours takes the documents of a batch in the order of their ids, as bytes; PouchDB those of a replicated one, as UTF-16.
  const order = [...rows.keys()].sort((a, b) => compareIds(ids[a] ?? '', ids[b] ?? ''));
  const isHigh = (index: number): boolean => /^[\ue000-\uffff]/.test(ids[index] ?? '');
  const agreed = [order.filter((index) => !isHigh(index)), order.filter(isHigh)];
  const rounds = Array.from({ length: 3 }, (_, round) =>
    agreed.map((indexes) => indexes.flatMap((index) => rows[index]?.slice(round, round + 1) ?? [])),
  ).flat();
  const steps = Array.from({ length: 6 }, (_, round) =>
    order.flatMap((index) =>
      part(histories[index]?.steps ?? [], at)
        .slice(round, round + 1)
        .map((step) => ({ id: `i${ids[index] ?? ''}`, step })),
    ),
  );
  const locals = LOCALS.filter((_, index) => (index + at) % 3 > 0).map((id, index) => ({
    id,
    value:
      (index + at) % 4 === 3 ? undefined : (histories[index % histories.length]?.revisions[0]?.data ?? null),
  }));
  return {
    replicated: rounds.filter((documents) => documents.length > 0),
    steps: steps.filter((row) => row.length > 0),
    locals,
  };
}

/** Opens a directory, works with it, closes it. */
async function within<T>(engine: Engine, work: () => Promise<T>): Promise<T> {
  await engine.open();
  try {
    return await work();
  } finally {
    await engine.close();
  }
}

describe('PouchDB 9 and ours (I3)', () => {
  test(
    'write the same to a directory by turns, and read the same from it',
    { timeout: 120_000 },
    async () => {
      const root = await newFolder();
      let runs = 0;
      let histories = 0;
      await fc.assert(
        fc.asyncProperty(fc.integer(), async (seed) => {
          const generated = fc.sample(history, { seed, numRuns: 180 });
          histories += generated.length;
          const ids = generated.map((_, at) => `${ODD_IDS[at % ODD_IDS.length] ?? ''}${String(at)}`);
          const all = [...ids.map((id) => `r${id}`), ...ids.map((id) => `i${id}`)];
          const directories = ['one', 'two'].map((name) => {
            const dir = join(root, `${String(runs)}-${name}`);
            return { engines: [new PouchEngine(dir), new OwnEngine(dir)], state: new WriterState() };
          });
          runs++;
          for (let at = 0; at < PARTS; at++) {
            const writes = partOf(generated, at, ids);
            const dumps: string[] = [];
            for (const [index, { engines, state }] of directories.entries()) {
              const engine = engines[(index + at) % 2];
              if (engine !== undefined) await within(engine, () => writePart(engine, state, writes));
              for (const reader of engines) {
                dumps.push(normal(await within(reader, () => reader.dump(all, LOCALS)), state.names));
              }
            }
            const [first, ...others] = dumps;
            for (const other of others)
              expect(
                difference(first ?? '', other),
                `part ${String(at)}, dump ${String(dumps.indexOf(other))}`,
              ).toBe('');
            expect(directories[1]?.state.outcomes).toEqual(directories[0]?.state.outcomes);
          }
        }),
        { numRuns: 6, endOnFailure: true },
      );
      expect(histories).toBeGreaterThan(900);
    },
  );

  test('agree on what is left after PouchDB compacted, at once and all along', async () => {
    const root = await newFolder();
    // Without conflicts: while it compacts, PouchDB stores the trees of edits that it refused.
    const generated = fc.sample(history, { numRuns: 100, seed: 7 }).map((own) => ({
      ...own,
      steps: own.steps.map((step): Step => (step === 'delete' ? step : 'edit')),
    }));
    const ids = generated.map((_, at) => `${ODD_IDS[at % ODD_IDS.length] ?? ''}${String(at)}`);
    const all = [...ids.map((id) => `r${id}`), ...ids.map((id) => `i${id}`)];
    for (const options of [{ auto_compaction: true }, {}]) {
      const dir = join(root, JSON.stringify(options).length.toString());
      const [engine, own] = [new PouchEngine(dir, options), new OwnEngine(dir)];
      const state = new WriterState();
      for (let at = 0; at < PARTS; at++) {
        const writer = at === 1 ? own : engine;
        await within(writer, () => writePart(writer, state, partOf(generated, at, ids)));
      }
      await engine.open();
      if (!('auto_compaction' in options)) await pouch.compact(dir);
      const seen = normal(await engine.dump(all, LOCALS), state.names);
      await engine.close();
      expect(difference(seen, normal(await within(own, () => own.dump(all, LOCALS)), state.names))).toBe('');
      await within(own, () => {
        const compacted = all.flatMap((id) => {
          const record = own.db.get(id);
          return record?.revsInfo(record.winner).slice(1) ?? [];
        });
        expect(compacted.some(({ status }) => status === 'missing')).toBe(true);
        return Promise.resolve();
      });
    }
  });

  test('what PouchDB wrote is an epoch of its own, and a copy from before it is recognised (I5)', async () => {
    const dir = join(await newFolder(), 'db');
    const [engine, own] = [new PouchEngine(dir), new OwnEngine(dir)];
    const look = async (): Promise<{ start: string; token: string }> => ({
      start: (await own.db.info()).instanceStartTime,
      token: own.db.token(own.db.updateSeq),
    });
    const first = await within(own, async () => {
      await put(own.db, { _id: 'a' });
      return look();
    });
    await cp(dir, `${dir}.backup`, { recursive: true });
    await within(engine, () => engine.put([{ _id: 'b' }, { _id: 'c' }]));
    const second = await within(own, look);
    expect(second.start).toBe(first.start);
    expect(second.token.split('-')[1]).not.toBe(first.token.split('-')[1]);
    await within(own, async () => {
      expect([first.token, second.token].map((token) => own.db.parseToken(token))).toEqual([1, 3]);
      expect((await look()).token).toBe(second.token);
      expect((await feedOf(own.db)).map(({ token }) => token)).toEqual([
        first.token,
        second.token.replace('3', '2'),
        second.token,
      ]);
    });
    await rm(dir, { recursive: true });
    await rename(`${dir}.backup`, dir);
    const back = await within(own, look);
    expect(Number(back.start)).toBeGreaterThan(Number(first.start));
    await within(own, async () => {
      await put(own.db, { _id: 'd' }, { _id: 'e' });
      expect(own.db.parseToken(second.token)).toBe(0);
    });
  });
});
