import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isLarger } from '../../src/json/size.js';
import { members, normalise } from '../../src/json/text.js';
import { atOnce } from '../../src/json/turns.js';

/** The members of an object as they are stored. */
function stored(text: string): string {
  return Array.from(members(text) ?? [], ([name, value]) => `${JSON.stringify(name)}:${value}`).join(',');
}

/** The least limit that an object keeps. */
function size(text: string): number {
  const own = stored(text);
  let [low, high] = [0, Buffer.byteLength(own) + 2];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (atOnce(isLarger(own, middle))) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What `{"v":…}` counts besides the value. */
const AROUND = 6;

describe('the size of a document', () => {
  test.each([
    ['{}', 2],
    ['{"v":1}', 7],
    ['{ "v" : [ ] , "w" : { } }', 15],
    ['{"v":[1,2,{"a":null,"b":[true,false]}]}', 39],
  ])('of %s is %i', (text, wanted) => {
    expect(size(text)).toBe(wanted);
  });

  test.each([
    ['"aé😀"', 9],
    ['"\\n\\t\\"\\\\"', 6],
    ['"\\u0000\\u001f"', 4],
    ['"\\u00e9\\/"', 5],
    ['"1.5"', 5],
    ['"\\"1.25"', 7],
  ])('counts the string %s without its escapes', (value, wanted) => {
    expect(size(`{"v":${value}}`)).toBe(AROUND + wanted);
  });

  test.each([
    ['0', 1],
    ['-12345', 6],
    ['123456789012345678901234567890', 30],
    ['0.0', 3],
    ['1.0', 3],
    ['3.141592653589793', 3],
    ['-3.141592653589793', 4],
    ['0.123456', 3],
    ['0.01', 4],
    ['0.00012345', 4],
    ['1e-10', 5],
    ['1.2345e-50', 5],
    ['1e-100', 6],
    ['1.2345e-200', 6],
    ['1e-300', 3],
    ['9999999999.5', 3],
    ['12345678901.25', 4],
    ['1e21', 4],
    ['1.5e99', 4],
    ['1e100', 5],
    ['-1.2345e200', 6],
  ])('counts the number %s as CouchDB does', (value, wanted) => {
    expect(size(`{"v":${value}}`)).toBe(AROUND + wanted);
  });

  test('is that of the bytes where nothing is escaped and no number has a fraction', () => {
    const plain = fc
      .string({ unit: 'grapheme' })
      .filter((text) => JSON.stringify(text).length === text.length + 2);
    const values = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.constantFrom(null, true, false),
        fc.integer().map((number) => number + 0),
        plain,
        fc.array(tie('value')),
        fc.dictionary(plain, tie('value')),
      ),
    }));
    fc.assert(
      fc.property(fc.dictionary(plain, values.value), (value) => {
        const text = JSON.stringify(value);
        expect(size(text)).toBe(Buffer.byteLength(text));
      }),
    );
  });

  test('is never more than what is stored', () => {
    fc.assert(
      fc.property(fc.object(), (value) => {
        const text = JSON.stringify(value);
        fc.pre(text.isWellFormed());
        expect(atOnce(isLarger(stored(text), Buffer.byteLength(normalise(text))))).toBe(false);
      }),
    );
  });

  test('is counted bit by bit, and no further than the limit', () => {
    const long = stored(`{"v":"${'\\n'.repeat(1_000_000)}"}`);
    const turns = (limit: number): number => [...isLarger(long, limit)].length;
    expect(turns(1_000_010)).toBeGreaterThan(100);
    expect(turns(100)).toBe(0);
    expect(atOnce(isLarger(long, 1_000_008))).toBe(false);
    expect(atOnce(isLarger(long, 1_000_007))).toBe(true);
  });
});
