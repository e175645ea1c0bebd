import { describe, expect, test, vi } from 'vitest';
import { openFeed, type ChangesFilter, type ChangesQuery } from '../../src/changes/feed.js';
import { compileFields } from '../../src/selector/fields.js';
import { compileSelector } from '../../src/selector/match.js';
import { Events } from '../../src/store/events.js';
import type { LevelDatabase } from '../../src/store/level-database.js';
import { newFolder, openDatabase, put, replicate, revOf } from '../support/store.js';

const QUERY: ChangesQuery = {
  feed: 'normal',
  since: 0,
  limit: Infinity,
  descending: false,
  style: 'main_only',
  includeDocs: false,
  conflicts: false,
  timeout: 20_000,
};

interface Row {
  readonly seq: string | null;
  readonly id: string;
  readonly changes: readonly { rev: string }[];
  readonly deleted?: boolean;
  readonly doc?: Record<string, unknown>;
}

interface Answer {
  readonly results: readonly Row[];
  readonly last_seq: string;
  readonly pending: number;
}

/** A whole feed as text. */
async function textOf(
  db: LevelDatabase,
  query: Partial<ChangesQuery>,
  signal = new AbortController().signal,
): Promise<string> {
  let text = '';
  for await (const chunk of openFeed(db, { ...QUERY, ...query }, signal)) text += chunk;
  return text;
}

const answer = async (db: LevelDatabase, query: Partial<ChangesQuery> = {}): Promise<Answer> =>
  JSON.parse(await textOf(db, query)) as Answer;

const idsOf = ({ results }: Answer): string[] => results.map(({ id }) => id);

const numberOf = (token: string | null | undefined): number => Number.parseInt(token ?? '', 10);

/** Five documents: `a` changed twice, `b` deleted, `c` in conflict. */
async function sample(): Promise<LevelDatabase> {
  const db = await openDatabase(await newFolder());
  const [a, b] = await put(db, { _id: 'a', v: 1 }, { _id: 'b', v: 1 });
  await replicate(
    db,
    { _id: 'c', _rev: '1-x', v: 'x' },
    { _id: 'c', _rev: '1-y', v: 'y' },
    { _id: 'c', _rev: '2-z', _deleted: true },
  );
  await put(db, { _id: '_design/d', v: 1 }, { _id: 'b', _rev: revOf(b), _deleted: true });
  await put(db, { _id: 'a', _rev: revOf(a), v: 2 });
  await put(db, { _id: 'e', v: 3 });
  return db;
}

describe('a normal feed', () => {
  test('has each document once, in the order of its last change', async () => {
    const db = await sample();
    const { results, last_seq, pending } = await answer(db);
    expect(results.map(({ id, seq }) => [id, numberOf(seq)])).toEqual([
      ['c', 5],
      ['_design/d', 6],
      ['b', 7],
      ['a', 8],
      ['e', 9],
    ]);
    expect([numberOf(last_seq), pending]).toEqual([9, 0]);
    expect(results.map(({ deleted }) => deleted)).toEqual([undefined, undefined, true, undefined, undefined]);
    expect(results[0]?.changes).toEqual([{ rev: '1-y' }]);
    expect(await textOf(db, { since: 9 })).toBe(
      `{"results":[\n\n],\n"last_seq":"${last_seq}","pending":0}\n`,
    );
  });

  test('goes on from any of its tokens, with what is pending behind a limit', async () => {
    const db = await sample();
    const seen: string[] = [];
    let since = 0;
    for (let left = 5; left > 0; left--) {
      const page = await answer(db, { since, limit: 1 });
      expect(page.pending).toBe(left - 1);
      expect(page.last_seq).toBe(page.results[0]?.seq);
      seen.push(...idsOf(page));
      since = db.parseToken(page.last_seq);
    }
    expect(seen).toEqual(['c', '_design/d', 'b', 'a', 'e']);
    expect(await answer(db, { since: 7, limit: 0 })).toMatchObject({ results: [], pending: 2 });
    expect(numberOf((await answer(db, { since: 7, limit: 0 })).last_seq)).toBe(7);
    expect((await answer(db, { limit: 5 })).pending).toBe(0);
    expect((await answer(db, { limit: 100 })).pending).toBe(0);
  });

  test('goes backwards', async () => {
    const db = await sample();
    expect(idsOf(await answer(db, { descending: true, since: 7 }))).toEqual([
      'e',
      'a',
      'b',
      '_design/d',
      'c',
    ]);
    const two = await answer(db, { descending: true, limit: 2 });
    expect(idsOf(two)).toEqual(['e', 'a']);
    expect([numberOf(two.last_seq), two.pending]).toEqual([8, 3]);
  });

  test('shows all leaves, documents and conflicts where asked', async () => {
    const db = await sample();
    const leaves = (await answer(db, { style: 'all_docs' })).results[0]?.changes;
    expect(leaves).toEqual([{ rev: '1-y' }, { rev: '1-x' }, { rev: '2-z' }]);
    const [c, , b] = (await answer(db, { includeDocs: true, conflicts: true })).results;
    expect(c?.doc).toEqual({ _id: 'c', _rev: '1-y', v: 'y', _conflicts: ['1-x'] });
    expect(b?.doc).toEqual({ _id: 'b', _rev: b?.changes[0]?.rev, _deleted: true });
    const [plain] = (await answer(db, { includeDocs: true })).results;
    expect(plain?.doc).toEqual({ _id: 'c', _rev: '1-y', v: 'y' });
  });

  test('is not confused by ids and revisions that look like rows', async () => {
    const db = await openDatabase(await newFolder());
    const ids = ['"},{"rev":"1-x"}]', '"deleted":true', '}],"changes":[', 'constructor', '\u0000', '\\"'];
    for (const id of ids)
      await replicate(db, { _id: id, _rev: '1-"},{"rev":"1-x' }, { _id: id, _rev: '1-}]' });
    const main = await answer(db);
    expect(idsOf(main)).toEqual(ids);
    for (const row of main.results)
      expect(row).toEqual({ seq: row.seq, id: row.id, changes: [{ rev: '1-}]' }] });
    const few = await answer(db, {
      filter: { kind: 'doc_ids', ids: new Set(ids), few: true },
      style: 'all_docs',
    });
    expect(few.results).toEqual((await answer(db, { style: 'all_docs' })).results);
    expect(few.results[0]?.changes).toHaveLength(2);
  });

  test('names its sequence in every so many rows only', async () => {
    const db = await sample();
    const seqs = (await answer(db, { seqInterval: 2 })).results.map(({ seq }) => seq && numberOf(seq));
    expect(seqs).toEqual([5, null, 7, null, 9]);
    expect((await answer(db, { seqInterval: 1 })).results.every(({ seq }) => seq !== null)).toBe(true);
    const events = await textOf(db, { feed: 'eventsource', timeout: 1, seqInterval: 2 });
    expect([...events.matchAll(/^id: (.*)$/gm)].map(([, id]) => numberOf(id))).toEqual([5, 6, 7, 8, 9]);
  });

  test('lists just the leaves that a selector matches, and the document where any does', async () => {
    const db = await openDatabase(await newFolder());
    const leaf = (id: string, hash: string, color: string): object => ({ _id: id, _rev: `1-${hash}`, color });
    await replicate(
      db,
      leaf('a', 'b', 'red'),
      leaf('a', 'a', 'blue'),
      leaf('b', 'b', 'red'),
      leaf('b', 'a', 'red'),
    );
    const filter = {
      kind: 'selector',
      matches: (doc: Record<string, unknown>) => doc.color === 'blue',
    } as const;
    const all = await answer(db, { filter, style: 'all_docs', includeDocs: true });
    expect(all.results).toEqual([
      {
        seq: all.results[0]?.seq,
        id: 'a',
        changes: [{ rev: '1-a' }],
        doc: { _id: 'a', _rev: '1-b', color: 'red' },
      },
    ]);
    expect((await answer(db, { filter })).results).toEqual([]);
    const red = { kind: 'selector', matches: (doc: Record<string, unknown>) => doc.color === 'red' } as const;
    const both = await answer(db, { filter: red, style: 'all_docs' });
    expect(both.results.map(({ changes }) => changes)).toEqual([
      [{ rev: '1-b' }],
      [{ rev: '1-b' }, { rev: '1-a' }],
    ]);
  });

  test('comes in chunks of about 64 KB, however large it is', async () => {
    const db = await openDatabase(await newFolder());
    await put(db, ...Array.from({ length: 3000 }, (_, at) => ({ _id: `${'x'.repeat(100)}${String(at)}` })));
    const sizes: number[] = [];
    let text = '';
    for await (const chunk of openFeed(db, QUERY, new AbortController().signal)) {
      sizes.push(chunk.length);
      text += chunk;
    }
    expect((JSON.parse(text) as Answer).results).toHaveLength(3000);
    expect(Math.max(...sizes)).toBeLessThan(80 * 1024);
    expect(sizes.length).toBeLessThan(20);
  });
});

describe('a filtered feed', () => {
  test('by ids: few are looked up, many are walked to, with the same rows', async () => {
    const db = await sample();
    const many = { kind: 'doc_ids' as const, ids: new Set(['a', 'c', 'none', 'e']) };
    const few = { ...many, few: true };
    for (const query of [
      {},
      { descending: true },
      { since: 5 },
      { limit: 1 },
      { includeDocs: true, style: 'all_docs' as const },
    ]) {
      const one = await answer(db, { ...query, filter: few });
      expect(one).toEqual(await answer(db, { ...query, filter: many }));
    }
    expect(idsOf(await answer(db, { filter: few }))).toEqual(['c', 'a', 'e']);
    expect(idsOf(await answer(db, { filter: few, since: 5 }))).toEqual(['a', 'e']);
    expect(await answer(db, { filter: few, limit: 2 })).toMatchObject({ pending: 1 });
    // The end of what was looked through, not the last row that passed.
    expect(numberOf((await answer(db, { filter: { kind: 'doc_ids', ids: new Set(['c']) } })).last_seq)).toBe(
      9,
    );
  });

  test('by design documents', async () => {
    expect(idsOf(await answer(await sample(), { filter: { kind: 'design' } }))).toEqual(['_design/d']);
  });

  test('by selector, with a projection', async () => {
    const db = await sample();
    const matches = compileSelector({ v: { $gt: 1 } });
    const project = compileFields(['v']);
    expect(idsOf(await answer(db, { filter: { kind: 'selector', matches } }))).toEqual(['c', 'a', 'e']);
    const shown = await answer(db, {
      filter: { kind: 'selector', matches, ...(project ? { project } : {}) },
      includeDocs: true,
    });
    expect(shown.results.map(({ doc }) => doc)).toEqual([{ v: 'y' }, { v: 2 }, { v: 3 }]);
    const deleted = compileSelector({ _deleted: true });
    expect(idsOf(await answer(db, { filter: { kind: 'selector', matches: deleted } }))).toEqual(['b']);
  });
});

/** A feed that is read in the background. */
class Follower {
  text = '';
  done = false;
  readonly #abort = new AbortController();
  readonly finished: Promise<void>;

  constructor(db: LevelDatabase, query: Partial<ChangesQuery>, pause?: () => Promise<void>) {
    this.finished = this.#run(db, { ...QUERY, feed: 'continuous', ...query }, pause);
  }

  async #run(db: LevelDatabase, query: ChangesQuery, pause?: () => Promise<void>): Promise<void> {
    for await (const chunk of openFeed(db, query, this.#abort.signal)) {
      this.text += chunk;
      await pause?.();
    }
    this.done = true;
  }

  get rows(): Row[] {
    const lines = this.text.split('\n').filter((line) => line.startsWith('{"seq"'));
    return lines.map((line) => JSON.parse(line) as Row);
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.finished;
  }

  abort(): void {
    this.#abort.abort();
  }
}

const settled = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 20_000, interval: 2 });

describe('a longpoll', () => {
  test('answers at once where there is something, else with the next change', async () => {
    const db = await sample();
    expect(idsOf(await answer(db, { feed: 'longpoll', since: 8 }))).toEqual(['e']);
    const waiting = answer(db, { feed: 'longpoll', since: 9, heartbeat: 60_000 });
    await settled(() => expect(db.events.size).toBe(1));
    await put(db, { _id: 'f' });
    const { results, last_seq, pending } = await waiting;
    expect(results.map(({ id }) => id)).toEqual(['f']);
    expect([numberOf(last_seq), pending]).toEqual([10, 0]);
    expect(db.events.size).toBe(0);
  });

  test('waits on while the filter lets nothing pass', async () => {
    const db = await sample();
    const filter = { kind: 'doc_ids' as const, ids: new Set(['f']) };
    const waiting = answer(db, { feed: 'longpoll', since: 9, filter });
    await settled(() => expect(db.events.size).toBe(1));
    await put(db, { _id: 'g' });
    await put(db, { _id: 'f' });
    expect(idsOf(await waiting)).toEqual(['f']);
  });

  test('ends empty after its timeout', async () => {
    const db = await sample();
    expect(await answer(db, { feed: 'longpoll', since: 9, timeout: 10 })).toMatchObject({
      results: [],
      pending: 0,
    });
    expect(db.events.size).toBe(0);
  });
});

describe('a continuous feed', () => {
  test('has the backlog, then each change as it comes, then its end', async () => {
    const db = await sample();
    const follower = new Follower(db, { since: 7 });
    await settled(() => expect(follower.rows.map(({ id }) => id)).toEqual(['a', 'e']));
    await put(db, { _id: 'f' });
    await settled(() => expect(follower.rows.map(({ id }) => id)).toEqual(['a', 'e', 'f']));
    await follower.stop();
    const last = JSON.parse(follower.text.trim().split('\n').at(-1) ?? '') as Answer;
    expect([numberOf(last.last_seq), last.pending]).toEqual([10, 0]);
  });

  test('ends at its limit', async () => {
    const db = await sample();
    const follower = new Follower(db, { since: 7, limit: 3 });
    await settled(() => expect(follower.rows).toHaveLength(2));
    await put(db, { _id: 'f' }, { _id: 'g' });
    await follower.finished;
    expect(follower.rows.map(({ id }) => id)).toEqual(['a', 'e', 'f']);
    expect(JSON.parse(follower.text.trim().split('\n').at(-1) ?? '')).toMatchObject({ pending: 1 });
  });

  test('ends after its timeout, which begins anew with each row', async () => {
    const db = await sample();
    const began = performance.now();
    const follower = new Follower(db, { since: 9, timeout: 60 });
    await put(db, { _id: 'f' });
    await follower.finished;
    expect(follower.rows).toHaveLength(1);
    expect(performance.now() - began).toBeGreaterThanOrEqual(59);
  });

  test('gives signs of life while it is silent, also where the filter keeps everything back', async () => {
    const db = await sample();
    const idle = new Follower(db, { since: 9, heartbeat: 5, timeout: 1 });
    const filter = { kind: 'design' as const };
    const busy = new Follower(db, { since: 9, heartbeat: 200, filter });
    const events = new Follower(db, { since: 9, heartbeat: 5, feed: 'eventsource' });
    // Never without a change for as long as its heartbeat.
    for (let count = 0; busy.text === ''; count++) await put(db, { _id: `n${String(count)}` });
    await settled(() => expect(idle.text).toContain('\n\n'));
    await settled(() => expect(events.text).toContain('event: heartbeat\ndata: \n\n'));
    expect(busy.rows).toEqual([]);
    expect([idle, busy, events].map(({ done }) => done)).toEqual([false, false, false]);
    await Promise.all([idle, busy, events].map((follower) => follower.stop()));
  });

  test('gives its signs of life together with others that began about the same time', async () => {
    const db = await sample();
    vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] });
    const waiting = async (count: number): Promise<void> => {
      while (vi.getTimerCount() < count) await new Promise(setImmediate);
    };
    const first = new Follower(db, { since: 9, heartbeat: 1000 });
    await waiting(1);
    await vi.advanceTimersByTimeAsync(100);
    const second = new Follower(db, { since: 9, heartbeat: 1000 });
    await waiting(2);
    await vi.advanceTimersByTimeAsync(899);
    const before = [first.text, second.text];
    await vi.advanceTimersByTimeAsync(1);
    vi.useRealTimers();
    expect(before.join('')).not.toContain('\n\n');
    await settled(() => expect([first.text, second.text]).toEqual(before.map((text) => `${text}\n`)));
    await Promise.all([first.stop(), second.stop()]);
  });

  test('with an absurd heartbeat just waits', async () => {
    const db = await sample();
    const timers = vi.spyOn(globalThis, 'setTimeout');
    const follower = new Follower(db, { since: 9, heartbeat: 1e15 });
    await settled(() => expect(db.events.size).toBe(1));
    await put(db, { _id: 'f' });
    await settled(() => expect(follower.rows).toHaveLength(1));
    expect(follower.text.split('\n').filter((line) => line === '')).toHaveLength(1);
    // Node takes a longer one for one millisecond.
    expect(Math.max(...timers.mock.calls.map(([, delay]) => delay ?? 0))).toBe(2 ** 31 - 1);
    timers.mockRestore();
    await follower.stop();
  });

  test('ends when its database is closed or deleted', async () => {
    const db = await sample();
    const follower = new Follower(db, { since: 0, heartbeat: 60_000 });
    await settled(() => expect(follower.rows).toHaveLength(5));
    await db.close();
    await follower.finished;
    expect(follower.done).toBe(true);
  });
});

describe('an event source', () => {
  test('frames rows as events that name their sequence', async () => {
    const db = await sample();
    const text = await textOf(db, { feed: 'eventsource', since: 8, timeout: 5 });
    const token = db.token(9);
    expect(text).toMatch(
      new RegExp(
        `^data: \\{"seq":"${token}","id":"e","changes":\\[\\{"rev":"1-[0-9a-f]+"\\}\\]\\}\nid: ${token}\n\n$`,
      ),
    );
  });
});

describe('live listeners', () => {
  /** Writes documents at once and one after the other, some of them again and again. */
  async function writeAll(db: LevelDatabase): Promise<void> {
    const revs = new Map<string, string>();
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        Array.from({ length: 15 }, async (_, at) => {
          const id = at < 3 ? `same${String(at)}` : `d${String(round)}-${String(at)}`;
          const [result] = await put(db, { _id: id, _rev: revs.get(id), round });
          revs.set(id, revOf(result));
        }),
      );
    }
  }

  const check = (db: LevelDatabase, follower: Follower): void => {
    const seqs = follower.rows.map(({ seq }) => numberOf(seq));
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    expect(new Set(seqs).size).toBe(seqs.length);
    // Every document as it now stands.
    const last = new Map(follower.rows.map(({ id, changes }) => [id, changes[0]?.rev]));
    expect(last.size).toBe(20 * 12 + 3);
    for (const [id, rev] of last) expect(db.get(id)?.winner).toBe(rev);
  };

  test('miss nothing and have everything in order, whether they keep up or not', async () => {
    const db = await openDatabase(await newFolder());
    let slow = 0;
    const lag = async (): Promise<void> => {
      if (slow++ % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 3));
    };
    const followers = [
      new Follower(db, {}),
      new Follower(db, { feed: 'continuous', includeDocs: true }),
      new Follower(db, {}, lag),
      new Follower(db, { limit: 100_000 }, lag),
    ];
    await writeAll(db);
    const end = `"seq":"${db.token(db.updateSeq)}"`;
    await settled(() => {
      for (const follower of followers) expect(follower.text).toContain(end);
    });
    for (const follower of followers) check(db, follower);
    await Promise.all(followers.map((follower) => follower.stop()));
    expect(db.events.size).toBe(0);
  });

  test('that fall behind what is remembered go on from the index', async () => {
    const db = await openDatabase(await newFolder());
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    await put(db, { _id: 'first' });
    const recent = vi.spyOn(db.events, 'recent');
    const behind = new Follower(db, {}, () => gate);
    const long = 'x'.repeat(10_000);
    for (let at = 0; at < 120; at++) await put(db, { _id: `${long}${String(at)}` });
    expect(db.events.recent(1)).toBeUndefined();
    expect(db.events.recent(db.updateSeq - 10)).toHaveLength(10);
    recent.mockClear();
    open();
    await settled(() => expect(behind.rows).toHaveLength(121));
    expect(behind.rows.map(({ seq }) => numberOf(seq))).toEqual(
      Array.from({ length: 121 }, (_, at) => at + 1),
    );
    await behind.stop();
  });

  test('are freed at once when they go away, even those that nobody reads', async () => {
    const db = await sample();
    const waiting = new Follower(db, { since: 9 });
    const unread = new Follower(db, { since: 0 }, () => new Promise(() => undefined));
    await settled(() => expect(db.events.size).toBe(2));
    waiting.abort();
    unread.abort();
    expect(db.events.size).toBe(0);
    await waiting.finished;
    const aborted = new AbortController();
    aborted.abort();
    await textOf(db, { feed: 'continuous', since: 9 }, aborted.signal);
    expect(db.events.size).toBe(0);
  });

  test('of a longpoll end when their lifetime is over, whatever their heartbeat', async () => {
    const db = await sample();
    const query = { feed: 'longpoll', since: 9, heartbeat: 5, lifetime: 30 } as const;
    const text = await textOf(db, query, new AbortController().signal);
    expect(JSON.parse(text)).toMatchObject({ results: [], pending: 0 });
  });

  test('are freed when they are returned', async () => {
    const db = await sample();
    for await (const chunk of openFeed(db, { ...QUERY, feed: 'continuous' }, new AbortController().signal)) {
      if (chunk.includes('"e"')) break;
    }
    expect(db.events.size).toBe(0);
  });

  test('five hundred idle ones are all woken by one write', async () => {
    const db = await sample();
    const followers = Array.from({ length: 500 }, () => new Follower(db, { since: 9, heartbeat: 60_000 }));
    await settled(() => expect(db.events.size).toBe(500));
    await put(db, { _id: 'f' });
    await settled(() => expect(followers.filter(({ rows }) => rows.length === 1)).toHaveLength(500));
    await Promise.all(followers.map((follower) => follower.stop()));
    expect(db.events.size).toBe(0);
  });
});

describe('events', () => {
  test('remember of each document the newest row, as the index does', () => {
    const events = new Events(0);
    events.publish(
      ['a', 'b', 'a'].map((id, at) => ({ seq: at + 1, id, text: id })),
      3,
    );
    const seqs = (since: number) => events.recent(since)?.map(({ seq }) => seq);
    expect(seqs(0)).toEqual([2, 3]);
    events.publish([{ seq: 4, id: 'b', text: 'b' }], 4);
    expect([seqs(0), seqs(3), seqs(4)]).toEqual([[3, 4], [4], []]);
    events.forget(4);
    expect([seqs(3), seqs(4)]).toEqual([undefined, []]);
  });

  test('reach those who listen at the time, and never within the call that caused them', async () => {
    const events = new Events(0);
    const heard: string[] = [];
    const listener = (name: string) => ({
      onChanges: (seq: number) => heard.push(`${name}${String(seq)}`),
      onClose: () => heard.push(`${name} closed`),
    });
    const leave = events.subscribe(listener('a'));
    events.subscribe(listener('b'));
    events.publish([{ seq: 1, id: 'a', text: 'x' }], 1);
    events.publish([{ seq: 2, id: 'b', text: 'y' }], 2);
    expect(heard).toEqual([]);
    leave();
    await settled(() => expect(heard.at(-1)).toBe('b2'));
    expect(heard.some((each) => each.startsWith('a'))).toBe(false);
    events.close();
    events.subscribe(listener('c'));
    expect(heard.slice(-2)).toEqual(['b closed', 'c closed']);
    expect(events.size).toBe(0);
  });
});

describe('a function that judges', () => {
  const silent = { kind: 'function', judge: () => new Promise<never>(() => undefined) } as const;

  test.each(['normal', 'longpoll', 'continuous'] as const)(
    'a %s feed is over at once when it is aborted meanwhile, and has passed over nothing',
    async (feed) => {
      const db = await sample();
      const abort = new AbortController();
      const judge = vi.fn(silent.judge);
      const text = textOf(db, { feed, filter: { kind: 'function', judge } }, abort.signal);
      await vi.waitFor(() => expect(judge).toHaveBeenCalledOnce());
      abort.abort();
      const [end = ''] = /"last_seq":.*/.exec(await text) ?? [];
      expect(numberOf((JSON.parse(`{${end}`) as Answer).last_seq)).toBe(0);
      expect(db.events.size).toBe(0);
    },
  );

  test('what it lets through is shown, whatever it judges at once', async () => {
    const db = await sample();
    const asked: string[] = [];
    const judge: Extract<ChangesFilter, { kind: 'function' }>['judge'] = (revisions) => {
      asked.push(...revisions.map(({ record, rev }) => `${record.id} ${rev}`));
      return Promise.resolve(revisions.map(({ rev }) => rev === '1-x' || rev.startsWith('2-')));
    };
    const { results } = await answer(db, { style: 'all_docs', filter: { kind: 'function', judge } });
    expect(results.map(({ id, changes }) => [id, changes.length])).toEqual([
      ['c', 2],
      ['b', 1],
      ['a', 1],
    ]);
    expect(asked).toHaveLength(7);
  });
});
