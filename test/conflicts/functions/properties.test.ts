import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalNumber } from '../../../src/conflicts/canonical.js';
import { contentDigest, noteDigest } from '../../../src/conflicts/digest.js';
import { readLike, readOutline } from '../../../src/conflicts/outline.js';
import { parseValue } from '../../../src/conflicts/value-reader.js';
import { type ObjectValue, Values } from '../../../src/conflicts/value.js';
import { normalise } from '../../../src/json/text.js';
import { atOnce } from '../../../src/json/turns.js';
import { merged } from './support.js';

const scalar = fc.constantFrom('0', '1', '1.0', '-2.5', '9007199254740993', '"x"', '"é\\n"', 'null', 'true');
const name = fc.constantFrom('a', 'b', 'c', '__proto__', '~/');

const { value } = fc.letrec<{ value: string; array: string; object: string }>((tie) => ({
  value: fc.oneof({ maxDepth: 3 }, scalar, tie('array'), tie('object')),
  array: fc.array(tie('value'), { maxLength: 3 }).map((elements) => `[${elements.join(',')}]`),
  object: fc
    .uniqueArray(fc.tuple(name, tie('value')), { selector: ([one]) => one, maxLength: 4 })
    .map((members) => `{${members.map(([one, text]) => `${JSON.stringify(one)}:${text}`).join(',')}}`),
}));
const document = value.map((one) => normalise(`{"o":${one},"p":{"q":${one}}}`));
const removed = fc.constantFrom('clash', 'edit-wins', 'delete-wins');

/** Equal for equal values, sets in any order. */
function meaning(result: string | readonly string[]): unknown {
  if (typeof result !== 'string') return result;
  const exact = result.replaceAll(/"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*/g, (token) =>
    token.startsWith('"') ? token : `"number ${canonicalNumber(token)}"`,
  );
  return JSON.parse(exact, (key, one: unknown) =>
    key === 's' && Array.isArray(one) ? one.map((each) => JSON.stringify(each)).sort() : one,
  );
}

test('what one side alone did is the result, to the byte', () => {
  fc.assert(
    fc.property(document, document, removed, (base, edited, how) => {
      for (const leaves of [
        [edited, base],
        [base, edited],
      ]) {
        const result = merged('three-way', { removed: how }, { leaves, bases: base });
        expect(meaning(result)).toEqual(meaning(edited));
        if (leaves[0] === edited) expect(result).toBe(edited);
      }
    }),
  );
});

test('the order of leaves does not matter, and what was merged merges with each leaf to itself', () => {
  const field = fc.option(fc.oneof(scalar, value), { nil: undefined });
  const side = fc
    .record({
      x: field,
      y: field,
      o: field,
      s: fc.array(scalar, { maxLength: 3 }).map((all) => `[${all.join(',')}]`),
    })
    .map((fields) => {
      const members = Object.entries(fields).filter(([, text]) => text !== undefined);
      return normalise(`{${members.map(([one, text]) => `"${one}":${text ?? ''}`).join(',')}}`);
    });
  const sides = fc.tuple(side, fc.array(side, { minLength: 2, maxLength: 4 }), removed);
  const shuffled = sides.chain(([base, leaves, how]) =>
    fc.record({
      base: fc.constant(base),
      leaves: fc.constant(leaves.map((leaf, at) => (at % 2 === 0 ? leaf : base.replace('"x"', '"z"')))),
      order: fc.shuffledSubarray([...leaves.keys()], { minLength: leaves.length }),
      how: fc.constant(how),
    }),
  );
  fc.assert(
    fc.property(shuffled, ({ base, leaves, order, how }) => {
      const options = { removed: how, fields: { '/s': 'set', '/y': 'max' } };
      const result = merged('three-way', options, { leaves, bases: base });
      const other = merged('three-way', options, {
        leaves: order.map((at) => leaves[at] ?? ''),
        bases: base,
      });
      expect(meaning(other)).toEqual(meaning(result));
      if (typeof result !== 'string') return;
      expect(normalise(result)).toBe(result);
      for (const leaf of leaves) {
        expect(merged('three-way', options, { leaves: [result, leaf], bases: leaf })).toBe(result);
      }
    }),
  );
});

test('counters are exact over any history, in any order', () => {
  // A tree of revisions, each with its parent before it; what each adds, in hundredths.
  const history = fc
    .array(fc.record({ parent: fc.nat(), adds: fc.bigInt(-(10n ** 17n), 10n ** 17n) }), {
      minLength: 3,
      maxLength: 12,
    })
    .map((all) => all.map(({ parent, adds }, at) => ({ parent: at === 0 ? -1 : parent % at, adds })));
  fc.assert(
    fc.property(history, fc.infiniteStream(fc.nat()), (nodes, random) => {
      const lineOf = (at: number): number[] => (at < 0 ? [] : [at, ...lineOf(nodes[at]?.parent ?? -1)]);
      const text = (at: number): string => {
        const total = lineOf(at).reduce((sum, one) => sum + (nodes[one]?.adds ?? 0n), 0n);
        return `{"n":${total}}`;
      };
      const leaves = [...nodes.keys()]
        .filter((at) => nodes.every(({ parent }) => parent !== at))
        .map((at) => ({ at, key: random.next().value as number }))
        .sort((a, b) => a.key - b.key)
        .map(({ at }) => at);
      const bases = leaves.slice(1).map((leaf, index) => {
        const before = new Set(leaves.slice(0, index + 1).flatMap(lineOf));
        return text(lineOf(leaf).find((one) => before.has(one)) ?? 0);
      });
      const all = nodes.reduce((sum, { adds }) => sum + adds, 0n);
      const options = { fields: { '/n': 'counter' } };
      expect(merged('three-way', options, { leaves: leaves.map(text), bases })).toBe(`{"n":${all}}`);
    }),
  );
});

test('values are the same exactly when they mean the same', () => {
  fc.assert(
    fc.property(value, value, (one, other) => {
      const values = new Values();
      const [a, b] = [parseValue(values, one), parseValue(values, other)];
      expect(a.text).toBe(normalise(one));
      expect(values.areSame(parseValue(values, ` ${one} `), a)).toBe(true);
      const isSame = JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
      expect(values.identityOf(a) === values.identityOf(b)).toBe(isSame);
      expect(values.areSame(a, b)).toBe(isSame);
    }),
  );
});

/** Objects with more members, and texts with more characters, than are looked at in one go. */
const large = fc.constantFrom(
  `{${Array.from({ length: 129 }, (_, at) => `"${String(129 - at)}":0`).join(',')}}`,
  `{"x":{${Array.from({ length: 140 }, (_, at) => `"\\"${String(999 - at)}":1.0`).join(',')}},"a":[{}]}`,
  `[${Array.from({ length: 400 }, (_, at) => `{"y":${String(at)},"x":"]}"}`).join(',')}]`,
  `{"b":${JSON.stringify('"}\\'.repeat(5000))},"a":10}`,
);

/** Members of two objects, some of which are in both, at the same places or not. */
const anyName = fc.oneof(name, fc.constantFrom('', 'é\n"', '\\', '\u2028', 'd', 'e', '10', '9'));
const anyValue = fc.oneof({ weight: 5, arbitrary: value }, { weight: 1, arbitrary: large });
const alike = fc
  .tuple(
    fc.uniqueArray(fc.tuple(anyName, anyValue), { selector: ([one]) => one, maxLength: 12 }),
    fc.array(fc.tuple(fc.nat(11), fc.constantFrom('keep', 'drop', 'change', 'move'), value), {
      maxLength: 4,
    }),
  )
  .map(([members, edits]) => {
    const others = [...members];
    for (const [at, what, changed] of edits) {
      const [one] = what === 'keep' ? [] : others.splice(at, 1);
      if (one === undefined || what === 'drop') continue;
      if (what === 'change') others.splice(at, 0, [one[0], changed]);
      else others.splice(0, 0, one);
    }
    return [members, others].map((all) =>
      all.map(([one, text]) => `${JSON.stringify(one)}:${text}`).join(','),
    ) as [string, string];
  });

/** Members as `Content` has them. */
const bodyOf = (members: string): string => normalise(`{${members}}`).slice(1, -1);

test('what is read by what it is like is what it is', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        alike,
        fc.tuple(alike, alike).map(([[one], [, other]]) => [one, other]),
      ),
      (pair) => {
        const [one = '', other = ''] = pair.map(bodyOf);
        const values = new Values();
        const first = atOnce(readOutline(values, one));
        const object = atOnce(readLike(values, other, first));
        const wanted = parseValue(values, `{${other}}`) as ObjectValue;
        expect(object.text).toBe(wanted.text);
        expect([...object.members].map(([key, { kind, text }]) => [key, kind, text])).toEqual(
          [...wanted.members].map(([key, { kind, text }]) => [key, kind, text]),
        );
        expect(values.areSame(object, wanted)).toBe(true);
        expect(values.identityOf(object)).toBe(values.identityOf(wanted));
        expect(first.object.text).toBe(`{${one}}`);
      },
    ),
    { numRuns: 2000 },
  );
});

test('the digest of a body is the same whether or not its members are at hand', () => {
  fc.assert(
    fc.property(alike, (pair) => {
      const [one = '', other = ''] = pair.map(bodyOf);
      const values = new Values();
      const first = atOnce(readOutline(values, one));
      expect(digestOf(other, atOnce(readLike(values, other, first)))).toBe(digestOf(other));
    }),
  );
});

/** @param members of it, if they are at hand */
function digestOf(body: string, members?: ObjectValue): string {
  const content = { body, attachments: new Map([['a', { contentType: 'b/c', digest: 'md5-d', length: 1 }]]) };
  if (members !== undefined) atOnce(noteDigest(content, members));
  return contentDigest(content);
}

test('members that stand alike at both ends are not read again', () => {
  const values = new Values();
  const first = atOnce(readOutline(values, '"a":{"x":1},"b":[1,2],"c":3,"d":{"y":"z"}'));
  const read = atOnce(readLike(values, '"a":{"x":1},"b":[1,"],"],"c":3,"d":{"y":"z"}', first));
  const same = (key: string): boolean => read.members.get(key) === first.object.members.get(key);
  expect(['a', 'b', 'c', 'd'].map(same)).toEqual([true, false, true, true]);
  expect(read.members.get('b')?.text).toBe('[1,"],"]');
});

/** Pairs instead of objects, in the order of their names. */
function sorted(text: string): unknown {
  const pairs = (one: unknown): unknown => {
    if (Array.isArray(one)) return one.map(pairs);
    if (typeof one !== 'object' || one === null) return one;
    const members = Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1));
    return { members: members.map(([key, inner]) => [key, pairs(inner)]) };
  };
  return pairs(meaning(text));
}

test('lines that were changed apart from each other are merged', () => {
  const line = fc.constantFrom('a', 'b', 'c', '', '\r');
  const edits = fc.array(fc.tuple(line, line, line), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(edits, fc.boolean(), (blocks, ends) => {
      const of = (pick: (block: readonly string[], at: number) => string) =>
        JSON.stringify({
          t: blocks.map((block, at) => `${pick(block, at)}\n=${at}=`).join('\n') + (ends ? '\n' : ''),
        });
      const base = of(([was = '']) => was);
      const ours = of(([was = '', mine = ''], at) => (at % 2 === 0 ? mine : was));
      const theirs = of(([was = '', , yours = ''], at) => (at % 2 === 1 ? yours : was));
      const expected = of(([, mine = '', yours = ''], at) => (at % 2 === 0 ? mine : yours));
      expect(merged('text', {}, { leaves: [ours, theirs], bases: base })).toBe(expected);
    }),
  );
});
