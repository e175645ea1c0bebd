import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { conflictJson, readResolution } from '../../src/conflicts/foreign.js';
import { ResolutionError } from '../../src/conflicts/resolved.js';
import type { Conflict, ConflictText, Resolution, ResolutionText } from '../../src/conflicts/types.js';
import { normalise } from '../../src/json/text.js';
import { atOnce } from '../../src/json/turns.js';

const FILE = { contentType: 'text/plain', digest: 'md5-x', length: 3 };

const conflictOf = (...bodies: readonly string[]): ConflictText => ({
  id: 'a',
  leaves: bodies.map((body, at) => ({
    rev: `2-${String.fromCharCode(122 - at)}`,
    content: { body, attachments: new Map(at === 0 ? [] : [['f', FILE]]) },
    ...(at > 0 && { base: { rev: '1-o', content: { body: '"n":0', attachments: new Map() } } }),
  })),
  deleted: ['2-d'],
  tree: [{ rev: '1-o', state: 'available', absorbed: [] }],
});

/** Has a function that works on parsed values resolve a conflict. */
const ask = (conflict: ConflictText, merge: (conflict: Conflict) => unknown): ResolutionText => {
  const given = JSON.parse(conflictJson('db', conflict)) as Conflict;
  return atOnce(readResolution(conflict, normalise(JSON.stringify(merge(given)))));
};

const bodyOf = (resolution: ResolutionText): string | undefined =>
  resolution.kind === 'merge' ? resolution.content.body : undefined;

test('a conflict crosses as its type says', () => {
  const seen: Conflict[] = [];
  ask(conflictOf('"n":1', ''), (conflict) => {
    seen.push(conflict);
    return { delete: true };
  });
  expect(seen).toEqual([
    {
      database: 'db',
      id: 'a',
      leaves: [
        { rev: '2-z', doc: { _id: 'a', _rev: '2-z', n: 1 } },
        {
          rev: '2-y',
          doc: {
            _id: 'a',
            _rev: '2-y',
            _attachments: { f: { content_type: 'text/plain', digest: 'md5-x', length: 3 } },
          },
          base: { rev: '1-o', doc: { _id: 'a', _rev: '1-o', n: 0 } },
        },
      ],
      deleted: ['2-d'],
      tree: [{ rev: '1-o', state: 'available', absorbed: [] }],
    },
  ]);
});

describe('what a function leaves as it was', () => {
  const merge = ({ leaves }: Conflict): Resolution => {
    const [winner, other] = leaves.map(({ doc }) => doc);
    return { merge: { ...other, ...winner, added: 1.5 } };
  };

  test('keeps the text of the leaf, the winner’s first', () => {
    const conflict = conflictOf(
      '"n":12345678901234567890,"one":1.0,"deep":{"b":[100.0,{"c":-2.0}],"a":1e-7}',
      '"one":1,"other":[10.0,98765432109876543210]',
    );
    const resolution = ask(conflict, merge);
    expect(bodyOf(resolution)).toBe(
      '"one":1.0,"other":[10.0,98765432109876543210],"n":12345678901234567890,' +
        '"deep":{"b":[100.0,{"c":-2.0}],"a":1e-7},"added":1.5',
    );
    expect(resolution).toMatchObject({
      kind: 'merge',
      deleted: false,
      content: { attachments: new Map([['f', FILE]]) },
    });
  });

  test('keeps texts within what it changed', () => {
    const conflict = conflictOf('"deep":{"n":12345678901234567890,"m":1}', '"x":1');
    const change = ({ leaves }: Conflict): unknown => {
      const { deep } = leaves[0]?.doc as unknown as { deep: object };
      return { merge: { deep: { ...deep, m: 2 } } };
    };
    expect(bodyOf(ask(conflict, change))).toBe('"deep":{"n":12345678901234567890,"m":2}');
  });

  test('is deferred where leaves differ by what no double holds', () => {
    const conflict = conflictOf('"a":{"n":9007199254740993}', '"a":{"n":9007199254740992}');
    expect(ask(conflict, merge)).toMatchObject({ kind: 'defer', paths: ['/a'] });
    // As they differ in more than that, it may be meant.
    const other = conflictOf('"a":{"n":9007199254740993}', '"a":{"n":9007199254740992,"m":1}');
    expect(bodyOf(ask(other, merge))).toBe('"a":{"n":9007199254740993},"added":1.5');
  });

  test('is never changed, whatever it is', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z]+$/), fc.jsonValue()), (members) => {
        const body = normalise(JSON.stringify(members)).slice(1, -1);
        const resolution = ask(conflictOf(body, '"n":0'), ({ leaves }) => ({ merge: leaves[0]?.doc }));
        expect(bodyOf(resolution)).toBe(body);
      }),
      { numRuns: 100 },
    );
  });

  test('is not made null where it is too large for a double', () => {
    const large = `"n":1${'0'.repeat(400)}`;
    const pick = ({ leaves }: Conflict): unknown => ({ merge: leaves[0]?.doc });
    expect(bodyOf(ask(conflictOf(large, ''), pick))).toBe(large);
  });
});

test('a function may pick, delete and defer', () => {
  const conflict = conflictOf('"n":1', '"n":2');
  expect(ask(conflict, () => ({ pick: '2-y' }))).toEqual({ kind: 'pick', rev: '2-y' });
  expect(ask(conflict, () => ({ delete: true }))).toEqual({ kind: 'delete' });
  const deferred = { kind: 'defer', reason: 'who knows', paths: ['/n'] };
  expect(ask(conflict, () => ({ defer: 'who knows', paths: ['/n'] }))).toEqual(deferred);
  expect(ask(conflict, () => ({ merge: { _deleted: true } }))).toMatchObject({
    kind: 'merge',
    deleted: true,
  });
});

test.each([
  null,
  1,
  {},
  { merge: 1 },
  { pick: 1 },
  { delete: false },
  { defer: null },
  { merge: {}, pick: '2-z' },
  { defer: 'x', paths: [1] },
  { merge: { _x: 1 } },
  { merge: { _attachments: { f: { digest: 'md5-y' } } } },
  { merge: { _attachments: [] } },
  { merge: { _attachments: { f: null } } },
])('nonsense is refused: %j', (returned) => {
  expect(() => ask(conflictOf('"n":1', '"n":2'), () => returned)).toThrow(ResolutionError);
});
