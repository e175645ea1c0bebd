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
