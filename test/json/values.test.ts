import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { moved, moving } from '../../src/json/exact.js';
import { normalise } from '../../src/json/text.js';
import { atOnce, type Work } from '../../src/json/turns.js';
import { LONG, parsing, writing } from '../../src/json/values.js';

/** A list of values that is too long to be read at once. */
const long = (values: readonly string[]): string => {
  const all = values.length === 0 ? ['null'] : values;
  const times = Math.ceil(LONG / all.join().length) + 1;
  return `[${Array<string>(times).fill(all.join()).join()}]`;
};

/** Does work as far as it goes without a pause, and says how often it paused. */
function counting<T>(work: Work<T>): { value: T; pauses: number } {
  for (let pauses = 0; ; pauses++) {
    const step = work.next();
    if (step.done === true) return { value: step.value, pauses };
  }
}

const values = fc.array(
  fc.json({ maxDepth: 4 }).map((text) => normalise(text)),
  { minLength: 1, maxLength: 20 },
);

describe('what is long', () => {
  test('is the same bit by bit as at once', () => {
    fc.assert(
      fc.property(values, (list) => {
        const text = long(list);
        const { value, pauses } = counting(parsing(text));
        expect(value).toEqual(JSON.parse(text));
        expect(pauses).toBeGreaterThan(5);
        expect(atOnce(writing(value))).toBe(JSON.stringify(value));
      }),
      { numRuns: 30 },
    );
  });

  test('may have many names, among them __proto__ (I13), and lie deep', () => {
    const names = Array.from({ length: 40_000 }, (_, at) => `"name ${at}":${at}`).join();
    const deep = `${'{"a":['.repeat(500)}{"__proto__":1,${names}}${']}'.repeat(500)}`;
    const value = atOnce(parsing(deep));
    expect(JSON.stringify(value)).toBe(JSON.stringify(JSON.parse(deep)));
    const { value: text, pauses } = counting(writing(value));
    expect(text).toBe(deep);
    expect(pauses).toBeGreaterThan(5);
  });

  test.each([
    ['half a character', '"\\ud800"'],
    ['deep nesting', `${'['.repeat(3000)}${']'.repeat(3000)}`],
  ])('may hold what only PouchDB stores: %s', (_, value) => {
    const text = long(['"a"', value]);
    expect(atOnce(parsing(text))).toEqual(JSON.parse(text));
  });

  test('keeps its numbers as they were written when it is moved (I13)', () => {
    const written = ['1.0', '12345678901234567890', '1e300', '-0.0', '0.1', '"12345678901234567890"'];
    const numbers = written.map(normalise);
    const text = `{"a":{"b":${long(numbers)}},"c":1}`;
    const make = (value: unknown): unknown => ({ x: (value as { a: unknown }).a });
    expect(atOnce(moving(text, make))).toBe(moved(text, make));
    expect(atOnce(moving(text, make))).toBe(`{"x":{"b":${long(numbers)}}}`);
  });
});
