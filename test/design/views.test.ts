import { afterAll, beforeAll, expect, it } from 'vitest';
import { openCage, type Cage } from './support.js';

let cage: Cage;
beforeAll(async () => {
  cage = await openCage();
});
afterAll(() => cage.close());

it('maps documents by all views, and reduces what they emit', async () => {
  const functions = await cage.of({
    views: {
      lib: { m: 'exports.k = 7' },
      b: { map: 'function (doc) { emit(doc.k); emit(["x", undefined], {a: require("views/lib/m").k}); }' },
      a: {
        map: 'function (doc) { emit(1, 2); null.x; }',
        reduce: 'function (k, v, r) { return [k, v, r]; }',
      },
      c: { map: 'function (doc) { }', reduce: 'function () { throw("x"); }' },
    },
  });
  expect(await functions.map(['{"k":"a\\u0000"}', '{}'])).toEqual([
    [[], ['"a\\u0000"', 'null', '["x",null]', '{"a":7}'], []],
    [[], ['null', 'null', '["x",null]', '{"a":7}'], []],
  ]);
  const runs = [
    { keys: '[["k","id"]]', values: '[1]' },
    { keys: 'null', values: '[2,3]' },
  ];
  expect(await functions.reduce('a', runs, false)).toEqual([
    '[[["k","id"]],[1],false]',
    '[null,[2,3],false]',
  ]);
  expect(await functions.reduce('c', runs, true)).toEqual(['null', 'null']);
});

it('writes numbers as JSON does, and what is none as null', async () => {
  const functions = await cage.of({
    views: {
      v: { map: 'function (doc) { [-0, NaN, 1 / 0, 1e21, 1e-7, 0.1].forEach(function (n) { emit(n); }); }' },
    },
  });
  const keys = ['0', 'null', 'null', '1e+21', '1e-7', '0.1'];
  expect(await functions.map(['{}'])).toEqual([[keys.flatMap((key) => [key, 'null'])]]);
});

it('takes documents together, but for what is too much for them together', async () => {
  const small = await openCage({ maxOutput: 3000 });
  try {
    const functions = await small.of({
      views: { v: { map: 'function (doc) { emit(new Array(doc.n).join("x")); }' } },
    });
    const mapped = await functions.map(Array.from({ length: 50 }, () => '{"n":1001}'));
    const key = `"${'x'.repeat(1000)}"`;
    expect(mapped).toEqual(mapped.map(() => [[key, 'null']]));
    expect(mapped).toHaveLength(50);
    await expect(functions.map(['{"n":1}', '{"n":4000}'])).rejects.toThrow('the answer is too long');
  } finally {
    await small.close();
  }
});

it.each([
  ['that are large', 'for (;;) emit(new Array(1000).join("x"));'],
  ['down to what an error takes', 'var all = []; for (;;) all.push(function () {});'],
])('does not leave out the rows of a document that takes all memory, by things %s', async (_, body) => {
  const small = await openCage({ memory: 4 * 1024 * 1024 });
  try {
    const functions = await small.of({ views: { v: { map: `function (doc) { ${body} }` } } });
    await expect(functions.map(['{}'])).rejects.toThrow('os_process_error: out of memory');
  } finally {
    await small.close();
  }
});

it('makes characters of what are but halves of some', async () => {
  const functions = await cage.of({
    views: { v: { map: 'function (doc) { emit("\\ud800x", ["\\ud83d\\ude00", "\\\\ud800"]); }' } },
  });
  expect(await functions.map(['{}'])).toEqual([[['"\ufffdx"', '["😀","\\\\ud800"]']]]);
});

it('freezes documents that nest deeper than functions can call each other', async () => {
  const functions = await cage.of({
    views: {
      v: { map: 'function (doc) { doc.a.push(1); emit(1); }' },
      w: { map: 'function (doc) { emit(doc.n); }' },
    },
  });
  const deep = `{"n":1,"a":${'['.repeat(2400)}${']'.repeat(2400)}}`;
  expect(await functions.map([deep])).toEqual([[[], ['1', 'null']]]);
});
