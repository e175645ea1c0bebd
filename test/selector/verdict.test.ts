import fc from 'fast-check';
import { expect, test } from 'vitest';
import { atOnce } from '../../src/json/turns.js';
import { compileSelector } from '../../src/selector/match.js';
import { every, Pace, settled, some, type Verdict } from '../../src/selector/verdict.js';

/** What an item says, after so many steps, and bit by bit where that is asked for. */
interface Item {
  readonly fits: boolean;
  readonly steps: number;
  readonly isSlow: boolean;
}

const items = fc.array(
  fc.record({ fits: fc.boolean(), steps: fc.constantFrom(0, 1, 4000, 20_000), isSlow: fc.boolean() }),
  { maxLength: 12 },
);

test('is the same bit by bit as at once, and asks nothing twice', () => {
  fc.assert(
    fc.property(fc.array(items, { maxLength: 6 }), fc.boolean(), (lists, isAll) => {
      const pace = new Pace();
      const asked = new Set<Item>();
      const said = (item: Item): Verdict => {
        expect(asked).not.toContain(item);
        asked.add(item);
        pace.spend(item.steps);
        return item.isSlow ? settled(item.fits) : item.fits;
      };
      const verdict = isAll
        ? every(lists, (list) => some(list, said, pace), pace)
        : some(lists, (list) => every(list, said, pace), pace);
      const wanted = isAll
        ? lists.every((list) => list.some(({ fits }) => fits))
        : lists.some((list) => list.every(({ fits }) => fits));
      expect(atOnce(settled(verdict))).toBe(wanted);
    }),
    { numRuns: 2000 },
  );
});

const elements = Array.from({ length: 30_000 }, (_, at) => `element ${at}`);
const long = 'x'.repeat(50_000);

test.each<[object, boolean]>([
  [{ list: { $elemMatch: { $eq: 'element 29999' } } }, true],
  [{ list: { $elemMatch: { $or: [{ $eq: 'none' }, { $eq: 'element 29999' }] } } }, true],
  [{ list: { $not: { $elemMatch: { $eq: 'none' } } } }, true],
  [{ list: { $allMatch: { $beginsWith: 'element' } } }, true],
  [{ list: { $allMatch: { $ne: 'element 29999' } } }, false],
  [{ list: { $allMatch: { $regex: '^element' } } }, true],
  [{ list: { $in: ['none', 'element 29999'] } }, true],
  [{ list: { $nin: ['none', 'nothing'] } }, true],
  [{ list: { $nin: ['none', 'element 29999'] } }, false],
  [{ list: { $all: ['element 0', 'element 29999'] } }, true],
  [{ list: { $all: ['element 0', 'none'] } }, false],
  [{ object: { $keyMapMatch: { $eq: 'element 29999' } } }, true],
  [{ $and: [{ list: { $in: ['element 29999'] } }, { list: { $nin: ['none'] } }] }, true],
  [{ $nor: [{ list: { $elemMatch: { $eq: 'none' } } }, { list: { $all: ['none'] } }] }, true],
  [{ texts: { $elemMatch: { $eq: `${long}z` } } }, false],
])('takes long for a long list, bit by bit: %#', (selector, fits) => {
  const document = {
    list: elements,
    object: Object.fromEntries(elements.map((name) => [name, 1])),
    texts: Array.from({ length: 100 }, (_, at) => `${long}${at}`),
  };
  const verdict = compileSelector(selector)(document);
  if (typeof verdict === 'boolean') throw new Error('it was said at once');
  expect(atOnce(verdict)).toBe(fits);
});
