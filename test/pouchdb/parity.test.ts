import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OpenOptions } from '../../src/pouchdb/types.js';
import { PouchProcess } from '../support/pouch.js';
import { newFolder } from '../support/store.js';
import { askBoth, compareAll, FILTERS, LOCALS, ownDatabase, plainDatabase, type Asked } from './battery.js';

let pouch: PouchProcess;

beforeAll(() => {
  pouch = new PouchProcess();
});
afterAll(() => pouch.stop());

const IDS = ['a', 'b', 'é', '_design/d'];

type Both = readonly [Asked, Asked];

/** Which of the revisions that are known an edit names. */
const base = fc.oneof(
  { weight: 6, arbitrary: fc.constant('winner' as const) },
  { weight: 2, arbitrary: fc.constant('any' as const) },
  { weight: 2, arbitrary: fc.constant('none' as const) },
  { weight: 1, arbitrary: fc.constant('unknown' as const) },
);

const file = fc.record({
  name: fc.constantFrom('a', 'b.txt'),
  kind: fc.constantFrom<File['kind']>('text', 'bytes', 'empty', 'stub', 'bad stub'),
  seed: fc.nat({ max: 3 }),
});

interface File {
  readonly name: string;
  readonly kind: 'text' | 'bytes' | 'empty' | 'stub' | 'bad stub';
  readonly seed: number;
}

const files: fc.Arbitrary<readonly File[]> = fc.oneof(
  { weight: 3, arbitrary: fc.constant([]) },
  { weight: 2, arbitrary: fc.array(file, { maxLength: 2 }) },
);

const edit = fc.record({
  id: fc.nat({ max: IDS.length - 1 }),
  base,
  pick: fc.nat({ max: 100 }),
  deleted: fc.boolean(),
  value: fc.oneof(fc.string({ maxLength: 5 }), fc.integer(), fc.constant({ deep: [null, 1.5] })),
  files,
});

/** No document twice: PouchDB would store what it refuses, in the tree of the edit before. */
const batch = fc.uniqueArray(edit, { maxLength: 4, selector: ({ id }) => id });

const branch = fc.record({
  id: fc.nat({ max: IDS.length - 1 }),
  pick: fc.nat({ max: 100 }),
  length: fc.integer({ min: 1, max: 3 }),
  deleted: fc.boolean(),
  files,
});

type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never;
type Branch = typeof branch extends fc.Arbitrary<infer T> ? T : never;

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('put' as const), edit }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('bulk' as const), edits: batch }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('replicated' as const),
      branches: fc.array(branch, { maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), edit }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('attach' as const), edit, on: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('local' as const),
      which: fc.nat({ max: 1 }),
      rev: fc.constantFrom('right', 'none', 'wrong'),
      remove: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'compact' as const }) },
);

/** PouchDB takes the documents of a batch in order only where none has attachments. */
const alone = <T extends { readonly files: readonly File[] }>(many: readonly T[]): readonly T[] =>
  many.length < 2 ? many : many.map((one) => ({ ...one, files: [] }));

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Writes the same to two databases, which have to answer the same. */
class Writing {
  /** Id → revisions that were written, in their order. */
  readonly revs = new Map<string, string[]>();
  /** `id@rev` → the revision and its ancestors. */
  readonly #paths = new Map<string, readonly string[]>();
  readonly #locals = new Map<string, string>();
  #number: number;

  /** @param first of the numbers that tell documents apart */
  constructor(
    private readonly both: Both,
    first: number,
  ) {
    this.#number = first;
  }

  async take(made: Step): Promise<void> {
    if (made.kind === 'compact') await askBoth(this.both, 'compact');
    else if (made.kind === 'local') await this.#local(made);
    else if (made.kind === 'replicated') await this.#replicate(alone(made.branches));
    else if (made.kind === 'bulk') await this.#bulk(alone(made.edits));
    else if (made.kind === 'put') await this.#put(made.edit);
    else if (made.kind === 'remove') await this.#remove(made.edit);
    else await this.#attach(made.edit, made.on);
  }

  async #put(made: Edit): Promise<void> {
    this.#note(await askBoth(this.both, 'put', await this.#document(made)));
  }

  async #bulk(edits: readonly Edit[]): Promise<void> {
    const docs = [];
    for (const one of edits) docs.push(await this.#document(one));
    const results = await askBoth(this.both, 'bulkDocs', docs);
    if (Array.isArray(results)) for (const result of results) this.#note(result);
  }

  async #remove(made: Edit): Promise<void> {
    const id = IDS[made.id] ?? '';
    const rev = await this.#base(id, made);
    this.#note(await askBoth(this.both, 'remove', { _id: id, ...(rev === undefined ? {} : { _rev: rev }) }));
  }

  async #attach(made: Edit, on: boolean): Promise<void> {
    const id = IDS[made.id] ?? '';
    const rev = (await this.#base(id, made)) ?? '1-none';
    const bytes = Buffer.from(`attached ${String(made.pick % 4)}`);
    this.#note(
      on
        ? await askBoth(this.both, 'putAttachment', id, 'a', rev, bytes, 'text/plain')
        : await askBoth(this.both, 'removeAttachment', id, 'a', rev),
    );
  }

  async #local({ which, rev, remove }: Step & { kind: 'local' }): Promise<void> {
    const id = LOCALS[which] ?? '';
    const known = { right: this.#locals.get(id), none: undefined, wrong: '0-9' }[rev];
    const doc = { _id: id, ...(known === undefined ? {} : { _rev: known }), n: this.#number++ };
    const result = (await askBoth(this.both, remove ? 'remove' : 'put', doc)) as { ok?: true; rev?: string };
    if (result.ok !== true) return;
    if (remove) this.#locals.delete(id);
    else this.#locals.set(id, result.rev ?? '');
  }

  /** Branches that grow from revisions whose bodies are known: PouchDB keeps no body that comes after its children. */
  async #replicate(branches: readonly Branch[]): Promise<void> {
    const docs = [];
    for (const { id: which, pick, length, deleted, files: given } of branches) {
      const id = IDS[which] ?? '';
      const known = this.revs.get(id) ?? [];
      const above = this.#paths.get(`${id}@${known[pick % (known.length + 1)] ?? ''}`) ?? [];
      let path = above;
      for (let at = 0; at < length; at++) {
        path = [`${String(path.length + 1)}-${String(this.#number++).padStart(32, '0')}`, ...path];
      }
      const [rev = ''] = path;
      const doc = {
        _id: id,
        _rev: rev,
        _revisions: { start: path.length, ids: path.map((one) => one.slice(one.indexOf('-') + 1)) },
        n: this.#number,
        ...(deleted && { _deleted: true }),
        ...(await this.#attachments(
          id,
          known.at(-1),
          given.filter(({ kind }) => kind !== 'stub'),
        )),
      };
      docs.push({ doc, path });
    }
    const results = await askBoth(
      this.both,
      'bulkDocs',
      docs.map(({ doc }) => doc),
      { new_edits: false },
    );
    if (!Array.isArray(results)) return;
    expect(results).toEqual([]);
    for (const { doc, path } of docs) {
      // Deleted or not, it and no ancestor that was made up may be edited.
      this.#know(doc._id, doc._rev, path);
    }
  }

  async #document(made: Edit): Promise<object> {
    const id = IDS[made.id] ?? '';
    const rev = await this.#base(id, made);
    return {
      _id: id,
      ...(rev === undefined ? {} : { _rev: rev }),
      ...(made.deleted && made.pick % 3 === 0 && { _deleted: true }),
      n: this.#number++,
      value: made.value,
      ...(await this.#attachments(id, rev, made.files)),
    };
  }

  async #base(id: string, { base: which, pick }: Edit): Promise<string | undefined> {
    if (which === 'none') return undefined;
    if (which === 'unknown') return `${String(1 + (pick % 3))}-unknown`;
    if (which === 'any') {
      const known = this.revs.get(id) ?? [];
      return known[pick % Math.max(1, known.length)];
    }
    const [plain] = this.both;
    const { _rev: rev } = (await plain.call('get', id)) as { _rev?: string };
    return rev;
  }

  async #attachments(id: string, rev: string | undefined, given: readonly File[]): Promise<object> {
    if (given.length === 0) return {};
    const [plain] = this.both;
    const there = (rev === undefined ? {} : await plain.call('get', id, { rev })) as {
      _attachments?: Record<string, object>;
    };
    const stubs = Object.values(there._attachments ?? {});
    const named = given.map(({ name, kind, seed }) => {
      const content_type = seed % 2 === 0 ? 'text/plain' : 'image/png';
      if (kind === 'stub')
        return [name, stubs[seed % Math.max(1, stubs.length)] ?? { content_type, data: '' }];
      if (kind === 'bad stub') return [name, { content_type, stub: true, digest: 'md5-nothing' }];
      const bytes = Buffer.from(kind === 'empty' ? '' : `bytes ${String(seed)}`);
      return [name, { content_type, data: kind === 'bytes' ? bytes : bytes.toString('base64') }];
    });
    return { _attachments: Object.fromEntries(named as [string, object][]) };
  }

  #note(result: unknown): void {
    const { ok, id, rev } = (result ?? {}) as { ok?: true; id?: string; rev?: string };
    if (ok === true && id !== undefined && rev !== undefined) this.#know(id, rev);
  }

  #know(id: string, rev: string, path?: readonly string[]): void {
    this.revs.set(id, [...(this.revs.get(id) ?? []), rev]);
    if (path !== undefined) this.#paths.set(`${id}@${rev}`, path);
  }
}

async function compareHistory(dir: string, steps: readonly Step[], options: OpenOptions): Promise<void> {
  const [one, two] = [join(dir, 'one'), join(dir, 'two')];
  await mkdir(dir);
  const both = [await plainDatabase(pouch, one, options), ownDatabase(two, options)] as const;
  const writing = new Writing(both, 0);
  await askBoth(both, 'put', FILTERS);
  for (const made of steps) await writing.take(made);
  await compareAll(both, IDS, writing.revs);
  for (const db of both) await db.close();
  // The directories change hands.
  const swapped = [await plainDatabase(pouch, two, options), ownDatabase(one, options)] as const;
  await compareAll(swapped, IDS, writing.revs);
  const others = new Writing(swapped, 1000);
  // An attachment is put into the document as it is read: its members have another order in the files of the other one,
  // and the revision, which is made of its text, another name.
  for (const made of steps) if (made.kind !== 'attach') await others.take(made);
  await compareAll(swapped, IDS, others.revs);
  for (const db of swapped) await db.close();
}

describe.each<[string, OpenOptions, number]>([
  ['as it is', {}, 20],
  ['with auto_compaction', { auto_compaction: true }, 8],
])('PouchDB over our store, %s', (_name, options, numRuns) => {
  it('answers as plain PouchDB does, and each opens what the other wrote', async () => {
    const root = await newFolder();
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14, size: 'max' }), (steps) =>
        compareHistory(join(root, String(runs++)), steps, options),
      ),
      { numRuns, endOnFailure: true },
    );
  });
});
