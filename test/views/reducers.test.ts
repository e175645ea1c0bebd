import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CouchError } from '../../src/errors.js';
import { collate } from '../../src/store/collate.js';
import { custom, type ReduceFunction } from '../../src/views/reducers/custom.js';
import { reducerOf } from '../../src/views/reducers/reducers.js';
import type { Row } from '../../src/views/tree/types.js';
import type { ViewReducer } from '../../src/views/types.js';

/** What a CouchDB 3.5.0 made of the same values, where not said otherwise. */

const builtIn = (name: string): ViewReducer =>
  reducerOf(
    name,
    () => {
      throw new Error('no function runs');
    },
    true,
  );

const rowsOf = (values: readonly unknown[], key: unknown = 1): Row[] =>
  values.map((value, at) => ({
    key: JSON.stringify(key),
    id: `d${String(at)}`,
    nth: 0,
    value: JSON.stringify(value),
  }));

/** As a query does it: rows reduced, then what came of them. */
async function reduced(reducer: ViewReducer, ...runs: readonly (readonly Row[])[]): Promise<string> {
  const [whole = ''] = await reducer.rereduce([await reducer.reduce(runs)]);
  return reducer.show(whole);
}

const valueOf = async (name: string, values: readonly unknown[]): Promise<unknown> =>
  JSON.parse(await reduced(builtIn(name), rowsOf(values))) as unknown;

const failure = (cause: unknown): object => ({
  error: 'builtin_reduce_error',
  reason: expect.stringContaining('requires that map values be numbers') as string,
  caused_by: cause,
});

describe('_sum', () => {
  test.each([
    ['numbers', [1, 2.5, -1], 2.5],
    ['arrays, the longer one whole', [[1, 2, 3], [1]], [2, 2, 3]],
    ['a number and an array', [5, [1, 2]], [6, 2]],
    ['a number and an empty array', [5, []], [5]],
    ['one object, as it is', [{ x: 3, q: [1, 2] }], { x: 3, q: [1, 2] }],
    [
      'objects, member by member',
      [
        { z: 1, a: { y: 0, b: [0] }, m: 0 },
        { z: 1, a: { y: 1, b: [1] }, m: 1 },
        { z: 1, a: { y: 2, b: [2] }, m: 2 },
      ],
      { a: { b: [3], y: 3 }, m: 3, z: 3 },
    ],
    ['objects with different members', [{ b: 1 }, { a: 1 }], { a: 1, b: 1 }],
    ['text', ['text'], failure('text')],
    ['null', [null], failure(null)],
    ['true', [true], failure(true)],
    ['an array in an array', [[['a']]], failure([0])],
    ['null in an array', [[null]], failure([0])],
    ['text in objects', [{ e: 't' }, { e: 't' }], failure('t')],
    ['an object and an array', [[1, 2], { x: 1, y: { z: 2 } }], failure([1, 2])],
    ['a number and an object', [0, { a: 1 }], failure(0)],
    ['what is wrong last', [1, 'text', [1, 2], { x: 1 }, null, 2], failure(null)],
    // CouchDB fails.
    ['an array and an object', [{ a: 1 }, [1]], failure({ a: 1 })],
    ['more than there are numbers for', [1e308, 1e308], failure(1e308)],
  ])('of %s', async (_what, values, expected) => {
    const sum = await valueOf('_sum', values);
    expect(sum).toEqual(expected);
    // The order of members, too.
    if (typeof expected === 'object' && !('error' in expected)) {
      expect(JSON.stringify(sum)).toBe(JSON.stringify(expected));
    }
  });

  test('keeps the first failure when it is summed on', async () => {
    const sum = builtIn('_sum');
    const whole = await reduced(sum, rowsOf(['text']), rowsOf([1]), rowsOf([2]));
    expect(JSON.parse(whole)).toEqual(failure('text'));
  });

  test('does not grow without end', async () => {
    const long = Array.from({ length: 3000 }, (_, at) => at);
    const [key, value] = ['1', JSON.stringify(long)];
    const rows = [
      { key, id: 'd0', nth: 0, value },
      { key, id: 'd1', nth: 0, value },
    ];
    const error = {
      error: 'builtin_reduce_error',
      reason: 'Reduce output must shrink more rapidly: input size: 28525 output size: 14623',
    };
    expect(JSON.parse(await reduced(builtIn('_sum'), rows))).toEqual(error);
    const unlimited = reducerOf('_sum', () => expect.unreachable(), false);
    expect(JSON.parse(await reduced(unlimited, rows))).toEqual(long.map((n) => 2 * n));
    const short = long.slice(0, 1000);
    expect(await valueOf('_sum', [short, short])).toEqual(short.map((n) => 2 * n));
  });

  test('takes members of any name for what they are', async () => {
    const text = '{"__proto__":1,"constructor":{"a":2}}';
    const rows = ['a', 'b'].map((id) => ({ key: '1', id, nth: 0, value: text }));
    expect(await reduced(builtIn('_sum'), rows)).toBe('{"__proto__":2,"constructor":{"a":4}}');
  });
});

describe('_stats', () => {
  const one = (n: number): object => ({ sum: n, count: 1, min: n, max: n, sumsqr: n * n });

  test.each([
    ['a number', [1.5], one(1.5)],
    ['numbers', [2, 1, 3], { sum: 6, count: 3, min: 1, max: 3, sumsqr: 14 }],
    ['an array', [[1, 2, 3]], [one(1), one(2), one(3)]],
    ['an empty array', [[]], []],
    [
      'what was reduced before',
      [1, { sum: 3, count: 2, min: 1, max: 2, sumsqr: 5, other: 1 }],
      { sum: 4, count: 3, min: 1, max: 2, sumsqr: 6 },
    ],
    [
      'arrays of both, in each other',
      [
        [0, [one(1), 2]],
        [1, [1, 2]],
      ],
      [
        { sum: 1, count: 2, min: 0, max: 1, sumsqr: 1 },
        [
          { sum: 2, count: 2, min: 1, max: 1, sumsqr: 2 },
          { sum: 4, count: 2, min: 2, max: 2, sumsqr: 8 },
        ],
      ],
    ],
  ])('of %s', async (_what, values, expected) => {
    expect(JSON.stringify(await valueOf('_stats', values))).toBe(JSON.stringify(expected));
  });

  test.each([
    ['text', ['text'], 'non-numeric _stats input: "text"'],
    ['null', [null], 'non-numeric _stats input: null'],
    ['objects without figures', [{ x: 1 }], 'user _stats input missing required field sum ({"x":1})'],
    [
      'figures that are text',
      [{ ...one(1), count: '1' }],
      'non-numeric _stats input received for count: "1"',
    ],
    ['a number and an array', [1, [1, 2]], 'The _stats function requires'],
    ['arrays of different lengths', [[1], [1, 2]], 'The _stats function requires'],
    ['what is too large', [1e200], 'the square of a value is too large'],
  ])('of %s is refused only to whom it is shown', async (_what, values, reason) => {
    const stats = builtIn('_stats');
    const whole = await stats.rereduce([await stats.reduce([rowsOf([1]), rowsOf(values)])]);
    expect(() => stats.show(whole[0] ?? '')).toThrow(
      expect.objectContaining({
        status: 400,
        error: 'invalid_value',
        reason: expect.stringContaining(reason) as string,
      }) as Error,
    );
  });
});

describe('_count, _first, _last, _top and _bottom', () => {
  test.each([
    ['_count', [1, 'a', null], 3],
    ['_countries', [1], 1],
    ['_first', [5, 'a', 1], 5],
    ['_last', [5, 'a', 1], 1],
    ['_top_4', [9, 9, 5, 'a', null, 'a', { a: 1 }], [{ a: 1 }, 'a', 9, 5]],
    ['_bottom_4', [9, 9, 5, 'a', null, 'a', 'A'], [null, 5, 9, 'a']],
    ['_top_1', [1, 3, 2], [3]],
    ['_bottom_100', [2, 1], [1, 2]],
  ])('%s of %j', async (name, values, expected) => {
    expect(await valueOf(name, values)).toEqual(expected);
  });

  test('are the same however the rows are divided', async () => {
    const values = fc.array(fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constantFrom('a', 'A', null)), {
      minLength: 1,
      maxLength: 30,
    });
    await fc.assert(
      fc.asyncProperty(values, fc.nat(30), async (all, cut) => {
        const rows = rowsOf(all);
        const parts = [rows.slice(0, cut), rows.slice(cut)].filter(({ length }) => length > 0);
        for (const name of ['_count', '_first', '_last', '_top_3', '_bottom_3', '_approx_count_distinct']) {
          expect(await reduced(builtIn(name), ...parts)).toBe(await reduced(builtIn(name), rows));
        }
        const ranked = [...new Set(all)].sort(collate);
        expect(await valueOf('_bottom_3', all)).toEqual(ranked.slice(0, 3));
        expect(await valueOf('_top_3', all)).toEqual(ranked.toReversed().slice(0, 3));
      }),
      { numRuns: 100 },
    );
  });
});

describe('_approx_count_distinct', () => {
  const keyed = (keys: readonly unknown[]): Row[] =>
    keys.map((key, at) => ({ key: JSON.stringify(key), id: String(at), nth: 0, value: 'null' }));

  test('counts keys that are written differently, whatever the collation says', async () => {
    const keys = [1, 1, 2, 'a', 'A', 'a\u0000', { a: 1, b: 2 }, { b: 2, a: 1 }, 1.0];
    expect(await reduced(builtIn('_approx_count_distinct'), keyed(keys))).toBe('7');
  });

  test.each([300, 2000, 5000, 50_000])('is exact for few keys and about right for %i', async (many) => {
    const distinct = builtIn('_approx_count_distinct');
    const keys = Array.from({ length: many }, (_, at) => `key${String(at)}`);
    const parts: Row[][] = [];
    for (let at = 0; at < many; at += 999) parts.push(keyed(keys.slice(at, at + 1500)));
    const count = Number(await reduced(distinct, ...parts));
    // Its standard deviation is 2.3 %.
    const tolerance = many <= 300 ? 0 : 0.07 * many;
    expect(Math.abs(count - many)).toBeLessThanOrEqual(tolerance);
  });
});

describe('a reduce function of a design document', () => {
  /** Gives a text of some length for each run. */
  const fat = (length: number): ReduceFunction => ({
    source: 'function(k,v,r){ var s=""; for(var i=0;i<1000;i++) s+="xxxxxx"; return s}',
    reduce: (runs) => Promise.resolve(runs.map(() => JSON.stringify('x'.repeat(length)))),
    rereduce: (runs) => Promise.resolve(runs.map(() => JSON.stringify('x'.repeat(length)))),
  });
  const DOCS = [1, 'text', [1, 2], { x: 1, y: { z: 2 } }, null, { x: 3, q: [1, 2] }];
  const MORE = [{ sum: 3, count: 2, min: 1, max: 2, sumsqr: 5 }, [1, 2, 3], 1.5, [['a']], { x: 3, q: 5 }];
  const rows: Row[] = [...DOCS, ...MORE].map((value, at) => {
    const id = 'abcdefghijk'.charAt(at);
    return { key: JSON.stringify(id), id, nth: 0, value: JSON.stringify(value) };
  });

  test.each([
    [1, 35],
    [11, 292],
  ])('must make less of %i rows', async (number, input) => {
    const reducer = custom(fat(6000), true);
    const whole = reduced(reducer, rows.slice(0, number));
    await expect(whole).rejects.toThrow(CouchError);
    await expect(whole).rejects.toMatchObject({
      error: 'reduce_overflow_error',
      reason: `Reduce output must shrink more rapidly: input size: ${String(input)} output size: 6004`,
    });
  });

  test('may give what it likes without the limit, or where it is not long', async () => {
    expect(await reduced(custom(fat(6000), false), rows)).toHaveLength(6002);
    expect(await reduced(custom(fat(4990), true), rows)).toHaveLength(4992);
  });

  test('is not asked again where one of its reductions was too large', async () => {
    const short = fat(10);
    const asked: number[] = [];
    const reducer = custom(
      {
        ...short,
        reduce: (runs) =>
          Promise.resolve(runs.map((run) => JSON.stringify('x'.repeat(run.length === 1 ? 6000 : 1)))),
        rereduce: (runs) => {
          asked.push(runs.length);
          return short.rereduce(runs);
        },
      },
      true,
    );
    const [large = '', small = ''] = await reducer.reduce([rows.slice(0, 1), rows.slice(0, 2)]);
    const [failed = '', sound] = await reducer.rereduce([
      [small, large],
      [small, small],
    ]);
    expect(asked).toEqual([1]);
    expect(sound).toBe(JSON.stringify('x'.repeat(10)));
    expect(() => reducer.show(failed)).toThrow('Reduce output must shrink more rapidly');
  });
});
