import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LevelDatabase } from '../../src/store/level-database.js';
import { compareIds } from '../../src/store/order.js';
import type { ListRange } from '../../src/store/types/listings.js';
import { body, feedOf, listAll, newFolder, ODD_IDS, outcome, parsed, QUICK } from '../support/store.js';

const IDS = ODD_IDS;
const utf8 = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

interface Revision {
  readonly parent: string | undefined;
  readonly deleted: boolean;
  readonly v: number;
}

/** A document as its revisions make it. */
class DocumentModel {
  readonly revisions = new Map<string, Revision>();
  seq = 0;

  leaves(): string[] {
    const parents = new Set([...this.revisions.values()].map(({ parent }) => parent));
    const rank = (rev: string): string => {
      const generation = String(Number.parseInt(rev, 10)).padStart(5, '0');
      return `${this.revisions.get(rev)?.deleted === true ? '0' : '1'}${generation}${rev.slice(rev.indexOf('-'))}`;
    };
    return [...this.revisions.keys()]
      .filter((rev) => !parents.has(rev))
      .sort((a, b) => (rank(a) < rank(b) ? 1 : -1));
  }

  get winner(): string {
    return this.leaves()[0] ?? '';
  }

  get deleted(): boolean {
    return this.revisions.get(this.winner)?.deleted === true;
  }

  path(rev: string): string[] {
    const path: string[] = [];
    for (let at: string | undefined = rev; at !== undefined; at = this.revisions.get(at)?.parent)
      path.push(at);
    return path;
  }
}

class Model {
  readonly documents = new Map<string, DocumentModel>();
  readonly locals = new Map<string, string>();
  updateSeq = 0;

  living(): string[] {
    return [...this.documents]
      .filter(([, document]) => !document.deleted)
      .map(([id]) => id)
      .sort(utf8);
  }

  feed(): [number, string, readonly string[], boolean][] {
    return [...this.documents]
      .map(([id, document]): [number, string, readonly string[], boolean] => [
        document.seq,
        id,
        document.leaves(),
        document.deleted,
      ])
      .sort(([a], [b]) => a - b);
  }

  add(id: string, rev: string, revision: Revision): void {
    const document = this.documents.get(id) ?? new DocumentModel();
    this.documents.set(id, document);
    document.revisions.set(rev, revision);
    document.seq = ++this.updateSeq;
  }
}

interface Real {
  database: LevelDatabase;
  readonly folder: string;
}

const open = (folder: string): Promise<LevelDatabase> =>
  LevelDatabase.open('db', join(folder, 'db'), join(folder, 'db.copy'), QUICK);

type Command = fc.AsyncCommand<Model, Real>;

interface Edit {
  readonly id: number;
  /** Which known revision it goes on from; none where it is too high. */
  readonly parent: number;
  readonly deleted: boolean;
  readonly v: number;
}

const command = (name: unknown, run: Command['run']): Command => ({
  check: () => true,
  run,
  toString: () => JSON.stringify(name),
});

const pick = (edit: Edit): string => IDS[edit.id % IDS.length] ?? '';

/** Interactive writes in one batch, taken in the order of their ids; the model says which are conflicts. */
const interactive = (edits: readonly Edit[]): Command =>
  command({ put: edits }, async (model, { database }) => {
    const documents = edits.map((edit) => {
      const known = [...(model.documents.get(pick(edit))?.revisions.keys() ?? [])];
      return {
        _id: pick(edit),
        _rev: known[edit.parent],
        _deleted: edit.deleted ? true : undefined,
        v: edit.v,
      };
    });
    const results = await database.write(
      documents.map((document) => parsed(document)),
      { newEdits: true },
    );
    const inOrder = [...documents.entries()].sort(([, a], [, b]) => compareIds(a._id, b._id));
    for (const [at, { _id: id, _rev: given, _deleted: deleted = false, v }] of inOrder) {
      const result = results[at];
      const document = model.documents.get(id);
      let parent = given;
      let allowed = true;
      if (document !== undefined) {
        if (given === undefined) {
          allowed = document.deleted && !deleted;
          parent = document.winner;
        } else {
          allowed = !document.deleted && document.leaves().includes(given);
        }
      }
      expect(result?.ok).toBe(allowed);
      if (result?.ok === true) model.add(id, result.rev, { parent, deleted, v });
    }
  });

/** Replicated writes of made-up revisions with all their ancestors. */
const replicated = (edits: readonly Edit[]): Command =>
  command({ replicate: edits }, async (model, { database }) => {
    for (const edit of edits) {
      const document = model.documents.get(pick(edit));
      const known = [...(document?.revisions.keys() ?? [])];
      const parent = known[edit.parent];
      const path = parent === undefined ? [] : (document?.path(parent) ?? []);
      const rev = `${String(path.length + 1)}-r${String(edit.v)}${edit.deleted ? 'd' : ''}`;
      const old = document?.revisions.get(rev);
      if (old !== undefined && old.parent !== parent) continue;
      const ids = [rev, ...path].map((each) => each.slice(each.indexOf('-') + 1));
      const text = {
        _id: pick(edit),
        _revisions: { start: path.length + 1, ids },
        _deleted: edit.deleted,
        v: edit.v,
      };
      const [result] = await database.write([parsed(text, false)], { newEdits: false });
      expect(result && outcome(result)).toBe(rev);
      if (old === undefined) model.add(pick(edit), rev, { parent, deleted: edit.deleted, v: edit.v });
    }
  });

const local = (edit: Edit): Command =>
  command({ local: edit }, async (model, { database }) => {
    const id = `_local/${pick(edit)}`;
    if (edit.deleted) {
      expect(await database.deleteLocal(id)).toBe(model.locals.delete(id));
    } else {
      await database.putLocal(id, undefined, `"v":${String(edit.v)}`);
      model.locals.set(id, `{"_id":${JSON.stringify(id)},"_rev":"0-1","v":${String(edit.v)}}`);
    }
    const ids: string[] = [];
    for await (const page of database.listLocal({})) {
      for (const row of page) {
        ids.push(row.id);
        expect(row.text).toBe(model.locals.get(row.id));
      }
    }
    expect(ids).toEqual([...model.locals.keys()].sort(utf8));
  });

const reopen = (): Command =>
  command('reopen', async (_, real) => {
    await real.database.close();
    real.database = await open(real.folder);
  });

interface Range extends Omit<ListRange, 'start' | 'end'> {
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

const list = ({ from, to, ...rest }: Range): Command =>
  command({ list: { from, to, ...rest } }, async (model, { database }) => {
    const range: ListRange = {
      ...rest,
      ...(from === undefined ? {} : { start: IDS[from % IDS.length] ?? '' }),
      ...(to === undefined ? {} : { end: IDS[to % IDS.length] ?? '' }),
    };
    const { start, end, descending = false, inclusiveEnd = true, skip = 0, limit = Infinity } = range;
    const all = descending ? model.living().reverse() : model.living();
    const order = (a: string, b: string): number => (descending ? utf8(b, a) : utf8(a, b));
    const before = start === undefined ? [] : all.filter((id) => order(id, start) < 0);
    const inRange = all.filter(
      (id) =>
        (start === undefined || order(id, start) >= 0) &&
        (end === undefined || order(id, end) < (inclusiveEnd ? 1 : 0)),
    );
    const listed = await listAll(database, range);
    expect(listed.ids).toEqual(inRange.slice(skip, skip + limit));
    expect(listed.total).toBe(all.length);
    const crossed = start !== undefined && end !== undefined && order(start, end) > 0;
    expect(listed.offset).toBe(before.length + (crossed ? 0 : Math.min(skip, inRange.length)));
    if (range.bodies === true) {
      listed.ids.forEach((id, at) => {
        expect(JSON.parse(listed.texts[at] ?? '')).toMatchObject({
          _id: id,
          _rev: model.documents.get(id)?.winner,
        });
      });
    }
  });

const feed = (since: number, descending: boolean): Command =>
  command({ feed: since, descending }, async (model, { database }) => {
    const from = Math.min(since, model.updateSeq);
    const wanted = model.feed().filter(([seq]) => seq > from);
    const rows = await feedOf(database, from, descending);
    expect(rows.map(({ seq, id, revs, deleted }) => [seq, id, revs, deleted])).toEqual(
      descending ? wanted.reverse() : wanted,
    );
    for (const { seq, token } of rows) expect(database.parseToken(token)).toBe(seq);
    expect(await database.pending(from)).toBe(wanted.length);
  });

/** After each command: the counters, and the document that was touched last. */
async function checkCounters(model: Model, { database }: Real): Promise<void> {
  const living = model.living().length;
  expect(await database.info()).toMatchObject({
    docCount: living,
    deletedCount: model.documents.size - living,
    updateSeq: model.updateSeq,
  });
  expect(database.updateSeq).toBe(model.updateSeq);
  for (const [id, document] of model.documents) {
    const record = database.get(id);
    expect(record?.leaves().map(({ rev }) => rev)).toEqual(document.leaves());
    expect(record?.seq).toBe(document.seq);
    expect(record?.deleted).toBe(document.deleted);
    const { v } = document.revisions.get(document.winner) ?? {};
    expect(body(database, id)).toMatchObject({ _id: id, _rev: document.winner, v });
  }
}

const edit = fc.record({
  id: fc.nat({ max: IDS.length - 1 }),
  parent: fc.nat({ max: 4 }),
  deleted: fc.boolean(),
  v: fc.nat({ max: 5 }),
});
const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(value, { nil: undefined });
const place = optional(fc.nat({ max: IDS.length - 1 }));

const commands = fc.commands(
  [
    fc.array(edit, { minLength: 1, maxLength: 20 }).map(interactive),
    fc.array(edit, { minLength: 1, maxLength: 10 }).map(replicated),
    // Few ids: long histories.
    fc
      .array(
        edit.map((each) => ({ ...each, id: each.id % 3 })),
        { minLength: 5, maxLength: 20 },
      )
      .map(interactive),
    edit.map(local),
    fc.constant(reopen()),
    fc
      .record({
        from: place,
        to: place,
        descending: fc.boolean(),
        inclusiveEnd: fc.boolean(),
        bodies: fc.boolean(),
        skip: fc.nat({ max: 4 }),
        limit: fc.oneof(fc.nat({ max: 4 }), fc.constant(Infinity)),
      })
      .map(list),
    fc.tuple(fc.nat({ max: 60 }), fc.boolean()).map(([since, descending]) => feed(since, descending)),
  ],
  { maxCommands: 40 },
);

test('a database does what a plain model does, whatever is written, listed and reopened', async () => {
  const folder = await newFolder();
  let run = 0;
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const own = join(folder, String(run++));
      const real: Real = { database: await open(own), folder: own };
      const model = new Model();
      try {
        await fc.asyncModelRun(() => ({ model, real }), sequence);
        await checkCounters(model, real);
        await real.database.close();
        real.database = await open(own);
        await checkCounters(model, real);
      } finally {
        await real.database.close();
        await rm(own, { recursive: true });
      }
    }),
    { numRuns: 200 },
  );
});
