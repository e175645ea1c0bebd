import fc from 'fast-check';
import { expect, test } from 'vitest';
import { moved } from '../../src/json/exact.js';

const leaves = fc.oneof(
  fc.constantFrom(
    '12345678901234567890',
    '-9007199254740993',
    '1.0',
    '0.30',
    '-0',
    '1e400',
    '1.5e-7',
    '7',
    '1.5',
  ),
  fc.constantFrom('true', 'null', '"1.0"', '"\\"1.0"', '"\\\\"', '"12345678901234567890"', '"\\u00001.0"'),
  fc.integer().map(String),
  fc.string().map((text) => JSON.stringify(text)),
);

const { text } = fc.letrec((tie) => ({
  text: fc.oneof({ maxDepth: 4 }, leaves, tie('array'), tie('object')),
  array: fc.array(tie('text')).map((elements) => `[${elements.join(',')}]`),
  object: fc
    .uniqueArray(fc.tuple(fc.constantFrom('a', 'b"', '1.0x', '\\', ' 12345678901234567890'), tie('text')), {
      selector: ([name]) => name,
    })
    .map(
      (members) =>
        `{${members.map(([name, value]) => `${JSON.stringify(name)}:${String(value)}`).join(',')}}`,
    ),
}));

test('what is moved keeps its numbers, and no string is taken for one', () => {
  fc.assert(
    fc.property(text, (one) => {
      expect(moved(String(one), (value) => [value])).toBe(`[${String(one)}]`);
    }),
  );
});
