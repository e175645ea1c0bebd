import fc from 'fast-check';
import { expect, test } from 'vitest';
import { contentDigest } from '../../src/conflicts/digest.js';
import { areDifferent } from '../../src/conflicts/glance.js';
import type { Content } from '../../src/conflicts/types.js';

const content = (body: string): Content => ({ body, attachments: new Map() });

/** Of each pair the first is a number, the second the same one, written otherwise. */
const number = fc.constantFrom(['1', '1.0'], ['10', '1e1'], ['0', '-0'], ['7', '7'], ['-3.5', '-35E-1']);
const scalar: fc.Arbitrary<readonly string[]> = fc.oneof(
  number,
  fc.constantFrom('a', '', 'e1,2', '":{', '\\"', '}{', 'é\u{1f600}').map((text) => {
    const quoted = JSON.stringify(text);
    return [quoted, quoted];
  }),
  fc.constantFrom('true', 'null').map((text) => [text, text]),
);

const { members } = fc.letrec<{ members: readonly string[]; value: readonly string[] }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' as const },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }).map((all) => [0, 1].map((at) => listed(all, at, '[', ']'))),
    tie('members').map((both) => both.map((text) => `{${text}}`)),
  ),
  // The second has them in another order.
  members: fc
    .dictionary(fc.constantFrom('a', 'b', 'c"', 'd\\', '1'), tie('value'), { maxKeys: 4 })
    .map((all) => {
      const texts = Object.entries(all).map(([name, both]) =>
        both.map((text) => `${JSON.stringify(name)}:${text}`),
      );
      return [listed(texts, 0, '', ''), listed(texts.reverse(), 1, '', '')];
    }),
}));

const listed = (all: readonly (readonly string[])[], at: number, open: string, close: string): string =>
  open + all.map((both) => both[at] ?? '').join(',') + close;

test('contents that are equal look equal at a glance', () => {
  fc.assert(
    fc.property(members, ([one = '', other = '']) => {
      expect(contentDigest(content(one))).toBe(contentDigest(content(other)));
      expect(areDifferent(one, other)).toBe(false);
    }),
    { numRuns: 500 },
  );
});

test.each([
  ['"a":1', '"a":2'],
  ['"a":"x","b":"y"', '"a":"y","b":"x"'],
  ['"a":1,"b":0', '"a":0,"b":1'],
  ['"a":{"n":"x"}', '"b":{"n":"x"}'],
  ['"a":1', '"a":12'],
  ['"a":"2024-01-01"', '"a":"2024-01-02"'],
  ['"a":"1.0.0, the first"', '"a":"1.0.1, the second"'],
  ['"a":[1]', '"a":[1,2]'],
  ['"a":true', '"a":true,"b":1'],
  ['', '"a":""'],
])('most others do not: %s and %s', (one, other) => {
  expect(areDifferent(one, other)).toBe(true);
});

test('contents that look different have different digests', () => {
  fc.assert(
    fc.property(members, members, fc.nat(1), ([one = ''], others, at) => {
      const other = others[at] ?? '';
      if (areDifferent(one, other))
        expect(contentDigest(content(one))).not.toBe(contentDigest(content(other)));
    }),
    { numRuns: 500 },
  );
});
