import { describe, expect, test } from 'vitest';
import { compileFields, parseFields } from '../../src/selector/fields.js';
import { compileSelector } from '../../src/selector/match.js';

describe('a selector of one document', () => {
  const document = {
    _id: 'a',
    n: 2,
    s: 'b',
    list: [1, 'x', { y: 1 }],
    o: { p: { q: null }, r: 1 },
    'd.t': 1,
  };

  test.each<[object, boolean]>([
    [{ n: { $ne: 1 } }, true],
    [{ none: { $ne: 1 } }, false],
    [{ none: { $nin: [1] } }, false],
    [{ none: { $not: { $gt: 1 } } }, false],
    [{ n: { $not: { $gt: 2 } } }, true],
    [{ $nor: [{ none: 1 }] }, false],
    [{ $nor: [{ n: 1 }, { s: 'c' }] }, true],
    [{ $not: { n: 1, s: 'b' } }, true],
    [{ $not: { $and: [{ n: 2 }, { s: 'b' }] } }, false],
    [{ none: { $exists: false } }, true],
    [{ $not: { none: { $exists: true } } }, true],
    [{ n: { $exists: false } }, false],
    [{ 'n.x': { $exists: false } }, false],
    [{ $or: [] }, true],
    [{ n: { $gt: 1, $lt: 3 } }, true],
    [{ n: { $gt: null } }, true],
    [{ n: { $lt: '' } }, true],
    [{ s: { $gt: 'A', $lt: 'C' } }, true],
    [{ o: { p: { q: null } } }, true],
    [{ 'o.p.q': null }, true],
    [{ 'o.p': { $eq: { q: null } } }, true],
    [{ o: {} }, false],
    [{ 'd\\.t': 1 }, true],
    [{ 'list.1': 'x' }, true],
    [{ 'list.3': { $exists: false } }, false],
    [{ list: { $in: ['x'] } }, true],
    [{ list: { $nin: ['x'] } }, false],
    [{ n: { $in: [] } }, false],
    [{ list: { $all: [1, 'x'] } }, true],
    [{ list: { $all: [] } }, false],
    [{ list: { $elemMatch: { $gt: 'w', $lt: 'z' } } }, true],
    [{ list: { $elemMatch: { y: 1 } } }, true],
    [{ list: { $not: { $elemMatch: { y: 2 } } } }, true],
    [{ list: { $allMatch: { $gte: 1 } } }, true],
    [{ list: { $size: 3 } }, true],
    [{ list: { $not: { $size: 3 } } }, false],
    [{ o: { $keyMapMatch: { $eq: 'r' } } }, true],
    [{ n: { $mod: [2, 0] } }, true],
    [{ n: { $type: 'number' } }, true],
    [{ 'o.p.q': { $type: 'null' } }, true],
    [{ s: { $beginsWith: 'b' } }, true],
    [{ n: { $beginsWith: '2' } }, false],
    [{ toString: { $exists: true } }, false],
  ])('%j', (selector, fits) => {
    expect(compileSelector(selector)(document)).toBe(fits);
  });
});

describe('a selector', () => {
  test.each([[[]], ['x'], [null], [{ $and: {} }], [{ $not: [] }], [{ $bad: 1 }], [{ a: { $bad: 1 } }]])(
    'that is none is refused with 400: %j',
    (selector) => {
      expect(() => compileSelector(selector)).toThrow(expect.objectContaining({ status: 400 }) as Error);
    },
  );

  test('takes everything when it is empty', () => {
    expect(compileSelector({})({ any: 1 })).toBe(true);
  });

  test('projects own members only, whatever they are called (I13)', () => {
    const document = JSON.parse('{"__proto__":{"x":1,"y":2},"a":{"b":{"c":1,"d":2}},"s":"x"}') as Record<
      string,
      unknown
    >;
    const projected = (...fields: string[]): string => JSON.stringify(compileFields(fields)?.(document));
    expect(projected('__proto__.x')).toBe('{"__proto__":{"x":1}}');
    expect(projected('a.b.c', 'a.b.d', 's.length', 'constructor', 'none')).toBe('{"a":{"b":{"c":1,"d":2}}}');
    expect(JSON.stringify(compileFields(['__proto__', 'toString', 'a'])?.({ a: 1 }))).toBe('{"a":1}');
    expect(({} as { x?: number }).x).toBeUndefined();
    expect(JSON.stringify(document)).toContain('"c":1,"d":2');
    expect(compileFields([])).toBeUndefined();
    expect(() => parseFields('a')).toThrow();
    expect(() => parseFields([1])).toThrow();
  });
});
