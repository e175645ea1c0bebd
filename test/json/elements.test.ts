import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ElementStream } from '../../src/json/elements.js';
import '../support/seed.js';

/** What a text in pieces of so many bytes gives. */
function read(text: string, level: number, size: number): { elements: unknown[]; rest: unknown } {
  const stream = new ElementStream(level);
  const bytes = Buffer.from(text);
  const elements: unknown[] = [];
  for (let at = 0; at < bytes.length; at += size)
    for (const element of stream.take(bytes.subarray(at, at + size))) elements.push(JSON.parse(element));
  return { elements, rest: stream.end() };
}

const object = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue());

describe('objects taken out of a JSON text', () => {
  it('are those of its array, however the text is cut, with what is around them', () => {
    fc.assert(
      fc.property(
        fc.array(object),
        fc.string({ unit: 'binary' }),
        fc.integer({ min: 1, max: 40 }),
        fc.nat(2),
        (results, last, size, indent) => {
          const text = JSON.stringify({ results, last_seq: last, pending: 3 }, undefined, indent);
          expect(read(text, 2, size)).toEqual({
            elements: JSON.parse(JSON.stringify(results)) as unknown,
            rest: { results: [], last_seq: JSON.parse(JSON.stringify(last)) as unknown, pending: 3 },
          });
        },
      ),
      { numRuns: 300 },
    );
  });

  it('may lie deeper', () => {
    const rows = [
      { id: '"{[\\', docs: [{ ok: { a: [{}] } }, { error: {} }] },
      { id: 'b', docs: [{ ok: {} }] },
    ];
    for (let size = 1; size < 60; size++) {
      const { elements } = read(JSON.stringify({ results: rows }), 4, size);
      expect(elements).toEqual(rows.flatMap(({ docs }): readonly unknown[] => docs));
    }
  });

  it.each([
    ['ends early', '{"results":[{"a":1}'],
    ['ends in a string', '{"results":[{"a":"'],
    ['closes what is not open', '{"results":[]}}'],
    ['is empty', ''],
  ])('are not all where it %s', (_name, text) => {
    expect(() => read(text, 2, 7)).toThrow();
  });

  it('are UTF-8', () => {
    const stream = new ElementStream(2);
    const bytes = Buffer.concat([
      Buffer.from('{"results":[{"a":"'),
      Buffer.from([0xff]),
      Buffer.from('"}]}'),
    ]);
    expect(() => stream.take(bytes)).toThrow('UTF-8');
  });
});
