import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Selection } from '../../../src/upstream/mirrors/partial.js';
import { type Followed } from '../../../src/upstream/mirrors/leaving.js';
import { pullPart } from '../../../src/upstream/mirrors/partial-pull.js';
import { PartialView } from '../../../src/upstream/mirrors/partial-view.js';
import { data, take, write } from '../../support/attachments.js';
import { body, newFolder, openDatabase, outcome, put, replicate } from '../../support/store.js';
import { type Flow, type Flows, newFlows } from './flows.js';
import { withUpstreams } from './upstreams.js';

const RED = { selector: '{"color":"red"}', docIds: undefined };

const chosen = (rule: Parameters<typeof Selection.of>[0]): Selection => {
  const selection = Selection.of(rule);
  if (selection === undefined) throw new Error('everything is selected');
  return selection;
};

/** A partial mirror, as far as its pull goes. */
class Partial {
  followed: Followed | undefined;

  constructor(
    readonly flows: Flows,
    private rule: Parameters<typeof Selection.of>[0] = RED,
  ) {}

  choose(selector: string): void {
    this.rule = { selector, docIds: undefined };
  }

  async pull(): Promise<Flow> {
    const { remote, access, signal } = this.flows;
    const { docIds, selector } = this.rule;
    let flow: Flow = { asked: 0, written: 0, refused: [] };
    await pullPart(
      {
        upstream: remote,
        access,
        selection: chosen(this.rule),
        known: this.followed,
        onDone: (followed) => {
          this.followed = followed;
          return Promise.resolve();
        },
      },
      false,
      async (source) => {
        flow = await this.flows.pull(source, {
          ...(docIds !== undefined && { docIds }),
          ...(selector !== undefined && { selector }),
        });
      },
      signal,
    );
    return flow;
  }

  /** Ids of everything that is here, deleted or not. */
  here(): Promise<string[]> {
    return this.flows.use(async (db) => {
      const ids: string[] = [];
      for await (const page of db.changes({ since: 0 }))
        ids.push(...page.map(({ text }) => (JSON.parse(text) as { id: string }).id));
      return ids.sort();
    });
  }

  there(...docs: { _id: string; _rev: string; [member: string]: unknown }[]): Promise<unknown> {
    return this.flows.ask('POST', '_bulk_docs', { docs, new_edits: false });
  }
}

const red = (_id: string, more: object = {}): { _id: string; _rev: string } => ({
  _id,
  _rev: '1-a',
  ...{ color: 'red' },
  ...more,
});

/** A revision that follows others. */
const next = (_id: string, path: string, more: object): { _id: string; _rev: string } => {
  const ids = Array.from(path).reverse();
  const revision = {
    _rev: `${String(path.length)}-${path.at(-1) ?? ''}`,
    _revisions: { start: path.length, ids },
  };
  return { _id, ...revision, ...more };
};

withUpstreams('a partial mirror', (upstream) => {
  const partial = async (rule = RED as Parameters<typeof Selection.of>[0]): Promise<Partial> =>
    new Partial(await newFlows(upstream()), rule);

  test('has what fits, and deletions only of that', async () => {
    const it = await partial();
    await it.there(red('a'), red('b', { color: 'blue' }), red('c'), red('_design/d'));
    await it.there({ _id: 'gone', _rev: '1-a', _deleted: true });
    await it.pull();
    expect(await it.here()).toEqual(['_design/d', 'a', 'c']);
    await it.there(next('a', 'ab', { _deleted: true }), next('b', 'ab', { _deleted: true }));
    await it.pull();
    expect(await it.here()).toEqual(['_design/d', 'a', 'c']);
    expect(await it.flows.use((db) => Promise.resolve(db.get('a')?.deleted))).toBe(true);
  });

  test('comes to its end through deletions of what it never had', async () => {
    const it = await partial();
    await it.there(
      ...Array.from({ length: 2100 }, (_, n) => ({ _id: `gone${String(n)}`, _rev: '1-a', _deleted: true })),
    );
    await it.there(red('a'));
    expect(await it.pull()).toMatchObject({ written: 1 });
    expect(await it.here()).toEqual(['a']);
  });

  test('loses what is edited so that it does not fit, and gets it again when it does', async () => {
    const it = await partial();
    await it.there(red('a', { _attachments: { f: { data: 'Ynl0ZXM=', revpos: 1 } } }), red('b'), red('c'));
    await it.pull();
    await it.there(next('a', 'ab', { color: 'blue', _attachments: { g: { data: 'Ynl0ZXM=', revpos: 2 } } }));
    await it.there(next('b', 'ab', { color: 'blue' }));
    await it.pull();
    expect(await it.here()).toEqual(['c']);
    expect(await it.flows.ask('GET', 'a')).toMatchObject({ color: 'blue' });
    // Nothing of that is anything new for the upstream.
    expect(await it.flows.push()).toMatchObject({ asked: 0 });
    await it.there(next('a', 'abc', { color: 'red' }), next('b', 'abc', { _deleted: true }));
    await it.pull();
    expect(await it.here()).toEqual(['a', 'c']);
  });

  test('has those leaves of a document that fit', async () => {
    const it = await partial();
    await it.there(red('a'), red('b'), red('c', { color: 'blue' }));
    const others = ['a', 'b', 'c'].map((_id) => ({ _id, _rev: '1-b', color: 'blue' }));
    await it.there(...others);
    await it.there({ _id: 'c', _rev: '2-x', _deleted: true });
    await it.pull();
    const leaves = (id: string): Promise<(string | undefined)[]> =>
      it.flows.use((db) =>
        Promise.resolve(
          db
            .get(id)
            ?.leaves()
            .map(({ rev }) => rev) ?? [],
        ),
      );
    expect(await it.here()).toEqual(['a', 'b']);
    expect(await leaves('a')).toEqual(['1-a']);
    await it.there(next('a', 'bc', { color: 'red' }), next('b', 'ac', { color: 'blue' }));
    await it.pull();
    expect(await it.here()).toEqual(['a']);
    expect(await leaves('a')).toEqual(['2-c', '1-a']);
    await it.there(next('a', 'bcd', { color: 'blue' }));
    await it.pull();
    expect(await leaves('a')).toEqual(['1-a']);
  });

  test('keeps what was edited here and has not gone up, and what was refused there', async () => {
    const it = await partial();
    await it.there(red('a'), red('b'));
    await it.pull();
    await it.flows.use((db) =>
      replicate(db, next('a', 'ax', { color: 'red' }), next('b', 'ax', { color: 'red' })),
    );
    await it.there(next('a', 'ay', { color: 'blue' }), next('b', 'ay', { color: 'blue' }));
    await it.pull();
    expect(await it.here()).toEqual(['a', 'b']);
    await it.flows.use((db) => db.unsent.sentThrough(db.updateSeq));
    await it.pull();
    expect(await it.here()).toEqual(['a', 'b']);
    await it.flows.use((db) => db.unsent.voidAll());
    await it.flows.push();
    await it.there(next('a', 'axz', { color: 'blue' }));
    await it.pull();
    expect(await it.here()).toEqual(['b']);
    expect(await it.flows.ask('GET', 'a?conflicts=true')).toMatchObject({ _rev: '3-z', _conflicts: ['2-y'] });
  });

  test('loses what does not fit another selector, and gets what does', async () => {
    const it = await partial();
    await it.there(red('a'), red('b', { color: 'blue' }), red('c', { size: 1 }));
    await it.pull();
    it.choose('{"$or":[{"color":"blue"},{"size":1}]}');
    await it.flows.use((db) => db.deleteLocal('_local/pull'));
    await it.pull();
    expect(await it.here()).toEqual(['b', 'c']);
  });

  test('of some documents by their ids has those', async () => {
    const it = await partial({ selector: undefined, docIds: ['a', 'gone'] });
    await it.there(red('a'), red('b'), { _id: 'gone', _rev: '1-a', _deleted: true });
    await it.pull();
    expect(await it.here()).toEqual(['a']);
    await it.there(next('a', 'ab', { color: 'blue' }));
    await it.pull();
    expect(await it.flows.use((db) => Promise.resolve(body(db, 'a')))).toMatchObject({ color: 'blue' });
  });

  test('has after any edits upstream what fits, and what was deleted of it', async () => {
    const edit = fc.record({ id: fc.nat(4), color: fc.constantFrom('red', 'blue', undefined) });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(edit, { maxLength: 6 }), { maxLength: 5 }), async (rounds) => {
        const it = await partial();
        const paths = new Map<string, string>();
        const colors = new Map<string, string | undefined>();
        for (const edits of rounds) {
          for (const { id: number, color } of edits) {
            const id = String(number);
            const path =
              (paths.get(id) ?? '') + 'abcdefghijklmnopqrstuvwxyz'.charAt(paths.get(id)?.length ?? 0);
            paths.set(id, path);
            colors.set(id, color);
            await it.there(next(id, path, color === undefined ? { _deleted: true } : { color }));
          }
          await it.pull();
          const fitting = [...colors].filter(([, color]) => color === 'red').map(([id]) => id);
          const living = await it.flows.use(async (db) => {
            const records = await db.getMany(await it.here());
            return records.filter((record) => record?.deleted === false).map((record) => record?.id);
          });
          expect(living).toEqual(fitting.sort());
        }
      }),
      { numRuns: 5 },
    );
  });
});

describe('what is written to a partial mirror', () => {
  test('is refused where it does not fit, whatever way it comes', async () => {
    const db = await openDatabase(await newFolder());
    const view = new PartialView(db, chosen(RED));
    const results = await put(view, { _id: 'a', color: 'red' }, { _id: 'b' }, { _id: 'c', color: 'red' });
    expect(results.map(outcome)).toEqual([
      expect.stringMatching(/^1-/),
      'forbidden',
      expect.stringMatching(/^1-/),
    ]);
    const [result] = await replicate(view, { _id: 'd', _rev: '1-a', color: 'blue' });
    expect(result).toMatchObject({
      ok: false,
      error: { status: 403, reason: expect.stringContaining('selector') as string },
    });
    const attachments = { f: data(await take(view, Buffer.from('bytes'))) };
    const [attached] = await write(view, [{ id: 'e', body: '"color":"blue"', attachments }]);
    expect(attached).toMatchObject({ ok: false });
    // A deletion is of something that fits.
    const rev = db.get('a')?.winner;
    expect((await put(view, { _id: 'a', _rev: rev, _deleted: true })).map(outcome)).toEqual([
      expect.stringMatching(/^2-/),
    ]);
    expect(db.updateSeq).toBe(3);
  });

  test('may ask for attachments by their names', async () => {
    const db = await openDatabase(await newFolder());
    const view = new PartialView(db, chosen({ ...RED, selector: '{"_attachments.f":{"$exists":true}}' }));
    const attachments = { f: data(await take(view, Buffer.from('bytes'))) };
    expect((await write(view, [{ id: 'e', attachments }, { id: 'f' }])).map(outcome)).toEqual([
      expect.stringMatching(/^1-/),
      'forbidden',
    ]);
  });

  test('is refused where its id is not among those that are mirrored', async () => {
    const db = await openDatabase(await newFolder());
    const view = new PartialView(db, chosen({ selector: undefined, docIds: ['a'] }));
    expect((await put(view, { _id: 'a' }, { _id: 'b' })).map(outcome)).toEqual([
      expect.stringMatching(/^1-/),
      'forbidden',
    ]);
  });
});
