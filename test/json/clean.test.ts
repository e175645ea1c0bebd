import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cleanEnd } from '../../src/json/clean.js';
import { JsonReader } from '../../src/json/reader.js';
import { members, normalise } from '../../src/json/text.js';
import { atOnce } from '../../src/json/turns.js';
import { readDocument } from '../../src/store/document.js';

/** JSON texts, most of them as they should be, others written in other ways, or none. */
const space = fc.constantFrom('', '', '', '', '', '', '', ' ', '\n');
const name = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.constantFrom('a', 'b', 'c', 'd', 'é', '😀', 'a name', '', 'constructor', 'toString'),
  },
  { weight: 1, arbitrary: fc.constantFrom('\\u0061', '\\"', 'x\\\\', '\n', '_x') },
);
const scalar = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom('0', '7', '-7', '12345678901234567890', 'true', 'false', 'null', '""'),
  },
  { weight: 3, arbitrary: fc.string({ unit: 'grapheme', maxLength: 5 }).map((text) => JSON.stringify(text)) },
  { weight: 1, arbitrary: fc.integer({ min: 60, max: 70 }).map((n) => `"${'x'.repeat(n)}"`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '1.0',
      '-0',
      '01',
      '1e3',
      '-',
      'nul',
      'truex',
      '"\\/"',
      '"\u0001"',
      '"',
      '1 2',
      '[',
      ']',
      '{',
    ),
  },
);
const { text: value } = fc.letrec<{ text: string; array: string; object: string }>((tie) => ({
  text: fc.oneof({ depthSize: 'small', withCrossShrink: true }, scalar, tie('array'), tie('object')),
  array: fc
    .tuple(space, fc.array(tie('text'), { maxLength: 4 }))
    .map(([gap, all]) => `[${gap}${all.join(`,${gap}`)}]`),
  object: fc
    .tuple(space, fc.array(fc.tuple(name, tie('text')), { maxLength: 4 }))
    .map(([gap, all]) => `{${all.map(([key, text]) => `"${key}":${gap}${text}`).join(',')}${gap}}`),
}));
const special = fc.constantFrom(
  '"_id":"i"',
  '"_rev":"1-a"',
  '"_revisions":{"start":1,"ids":["a"]}',
  '"_conflicts":[1.0]',
  '"_replication_id":"r"',
);
const member = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(name, value).map(([key, text]) => `"${key}":${text}`) },
  { weight: 1, arbitrary: special },
);
const documents = fc
  .tuple(fc.array(special, { maxLength: 2 }), fc.array(member, { maxLength: 8 }), space)
  .map(([before, all, gap]) => `{${[...before, ...all].join(`,${gap}`)}${gap}}`);

/** What a document's own members are, or that it is none. */
function bodyOf(text: string): string {
  try {
    const reader = new JsonReader(text);
    const limits = { newEdits: true, maxSize: Infinity, id: 'i' };
    const { body } = atOnce(readDocument(reader, limits));
    reader.end();
    return body;
  } catch {
    return 'none';
  }
}

/** The same by way of all members, one after the other. */
function bodyByMembers(text: string): string {
  try {
    const own = [...(members(normalise(text)) ?? [])].filter(
      ([key]) => !key.startsWith('_') || key === '_replication_id',
    );
    return own.map(([key, its]) => `${JSON.stringify(key)}:${its}`).join(',');
  } catch {
    return 'none';
  }
}

test('a document is the same whether it is taken together or member by member', () => {
  let together = 0;
  fc.assert(
    fc.property(documents, (text) => {
      const isRefused = bodyOf(text) === 'none' && text.includes('"_x"');
      if (!isRefused) expect(bodyOf(text)).toBe(bodyByMembers(text));
      const start = text.indexOf('"a"');
      if (start >= 0 && cleanEnd(text, start, text.length) > start) together++;
    }),
    { numRuns: 20_000 },
  );
  expect(together).toBeGreaterThan(1000);
});

test('documents that are read anew are no deeper for that', () => {
  const reader = new JsonReader(`[${Array(3000).fill('{"a":1,"_id":"i","b":2}').join(',')}]`);
  let count = 0;
  reader.openArray();
  for (; reader.nextElement(); count++) {
    const { body } = atOnce(readDocument(reader, { newEdits: true, maxSize: Infinity }));
    expect(body).toBe('"a":1,"b":2');
  }
  reader.end();
  expect(count).toBe(3000);
});

describe('members that stand as they should', () => {
  const endOf = (text: string, limit = text.length): number => cleanEnd(text, 1, limit);

  test('end where the object does, or at the comma before a name with an underscore', () => {
    const own = '{"a":[1,{"b":[]},{}],"c":{"_d":"}"},"e":-1';
    expect(endOf(`${own}}`)).toBe(own.length);
    expect(endOf(`${own},"_rev":"1-a"}`)).toBe(own.length);
  });

  test('have no name twice in one object', () => {
    expect(endOf('{"c":{"a":1},"b":{"a":1},"a":1}')).toBe(30);
    expect(endOf('{"a":1,"b":2,"a":1}')).toBe(-1);
    expect(endOf('{"b":[{"c":1},{"a":1,"a":1}]}')).toBe(-1);
    // It has the same number as "a" has.
    expect(endOf(`{"B~":1,"C_":1}`)).toBe(-1);
  });

  test.each([
    ['ends within', '{"a":"b', 99],
    ['ends behind a name', '{"a', 99],
    ['is longer than it may be', `{"a":"${'x'.repeat(100)}"}`, 80],
    ['is as long as it may be', '{"a":1}', 6],
    ['has many names', `{${Array.from({ length: 65 }, (_, n) => `"n${String(n)}":1`).join(',')}}`, 9999],
    ['has a number that is longer than it may be', `{"a":${'1'.repeat(100)}}`, 80],
    ['nests deep', `{"a":${'['.repeat(40)}${']'.repeat(40)}}`, 99],
    ['closes what is not open', '{"a":[1}}', 99],
    ['has another number', '{"a":1.5}', 99],
    ['has white space', '{"a": 1}', 99],
  ])('are left to others where the text %s', (_, text, limit) => {
    expect(endOf(text, Math.min(limit, text.length))).toBe(-1);
  });
});
