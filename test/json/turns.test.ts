import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { inChunks } from '../../src/json/chunks.js';
import { JsonError } from '../../src/json/reader.js';
import {
  decodeBody,
  decodeInTurns,
  members,
  membersInTurns,
  normalise,
  valuesInTurns,
} from '../../src/json/text.js';
import { atOnce, inTurns, nextTurn, Turns, type Work } from '../../src/json/turns.js';

/** How often the event loop has gone round. */
let round = 0;
let immediate: NodeJS.Immediate;
const goRound = (): void => {
  round++;
  immediate = setImmediate(goRound);
};
beforeAll(goRound);
afterAll(() => {
  clearImmediate(immediate);
});

/** Work that only ends when others get their turns. */
function* untilRound(wanted: number): Work<string> {
  const patience = performance.now() + 60_000;
  while (round < wanted) {
    if (performance.now() > patience) throw new Error('nobody else had a turn');
    yield;
  }
  return 'done';
}

function* failing(after: number): Work<never> {
  yield* untilRound(after);
  throw new RangeError('on purpose');
}

describe('work in turns', () => {
  test('that is short is done at once', () => {
    function* short(): Work<number> {
      yield;
      return 7;
    }
    expect(inTurns(short())).toBe(7);
    expect(atOnce(short())).toBe(7);
  });

  test('that is long lets the event loop go round', async () => {
    expect(await inTurns(untilRound(round + 5))).toBe('done');
  });

  test('fails as it would without turns', async () => {
    expect(() => inTurns(failing(0))).toThrow(RangeError);
    await expect(inTurns(failing(round + 3))).rejects.toThrow(RangeError);
    // Who stands behind it in the line is not harmed.
    await nextTurn();
  });

  test('that follows other work goes on in the slice of that', async () => {
    let now = 0;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
    function* taking(milliseconds: number): Work<number> {
      now += milliseconds;
      yield;
      return round;
    }
    try {
      const turns = new Turns();
      const before = round;
      expect([await turns.run(taking(2)), await turns.run(taking(2))]).toEqual([before, before]);
      expect(await turns.run(taking(2))).toBeGreaterThan(before);
      const after = round;
      expect(await turns.run(taking(2))).toBe(after);
    } finally {
      clock.mockRestore();
    }
    await expect(new Turns().run(failing(round + 3))).rejects.toThrow(RangeError);
  });

  test('of many in the same turns goes on in the same round', async () => {
    let now = performance.now();
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
    try {
      const turns = new Turns();
      now += 60_000;
      const before = round;
      const rounds = await Promise.all(
        Array.from({ length: 10 }, async () => {
          await turns.pass();
          return round;
        }),
      );
      expect(new Set(rounds).size).toBe(1);
      expect(rounds[0]).toBeGreaterThan(before);
    } finally {
      clock.mockRestore();
    }
  });

  test('goes on one after the other, one to each round', async () => {
    const rounds = await Promise.all(
      Array.from({ length: 10 }, async () => {
        await nextTurn();
        return round;
      }),
    );
    expect(new Set(rounds).size).toBe(10);
  });
});

describe('chunks', () => {
  const texts = Array.from({ length: 20_000 }, (_, at) => `text ${String(at)},`);

  test('are the texts, put together to some size', async () => {
    const chunks: string[] = [];
    for await (const chunk of inChunks(texts)) chunks.push(chunk);
    expect(chunks.join('')).toBe(texts.join(''));
    expect(chunks.length).toBeGreaterThan(2);
    expect(Math.min(...chunks.slice(0, -1).map((chunk) => chunk.length))).toBeGreaterThan(60_000);
    for await (const chunk of inChunks([])) expect(chunk).toBe('nothing comes of nothing');
  });

  test('let the event loop go round in between', async () => {
    const rounds: number[] = [];
    for await (const chunk of inChunks(texts)) if (chunk !== '') rounds.push(round);
    expect(new Set(rounds).size).toBe(rounds.length);
  });
});

describe('a body that comes in chunks', () => {
  const cut = (body: Buffer, at: readonly number[]): Buffer[] => {
    const places = [...at.map((place) => place % (body.length + 1)), body.length].sort((a, b) => a - b);
    return places.map((place, index) => body.subarray(places[index - 1] ?? 0, place));
  };
  const cuts = fc.array(fc.nat(), { minLength: 1, maxLength: 5 });

  test('is decoded as a whole one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), cuts, async (text, at) => {
        fc.pre(!text.startsWith('\ufeff'));
        expect(await decodeInTurns(cut(Buffer.from(text), at))).toBe(text);
      }),
    );
  });

  test('is refused where a whole one is', async () => {
    const valid = (body: Buffer): boolean => {
      try {
        decodeBody(body);
        return true;
      } catch {
        return false;
      }
    };
    const byte = fc.constantFrom(
      0x22,
      0x61,
      0x80,
      0xbf,
      0xc0,
      0xc3,
      0xa9,
      0xe2,
      0x82,
      0xac,
      0xed,
      0xa0,
      0xef,
      0xbb,
      0xf0,
      0xff,
    );
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(byte, { maxLength: 8 }), cuts, async (bytes, at) => {
        const body = Buffer.from(bytes);
        const read = (async () => decodeInTurns(cut(body, at)))();
        if (valid(body)) {
          expect(await read).toBe(decodeBody(body));
        } else {
          refused++;
          await expect(read).rejects.toThrow(JsonError);
        }
      }),
      { numRuns: 1000 },
    );
    expect(refused).toBeGreaterThan(100);
  });

  test('or in a single one may be long, and have characters across any border', async () => {
    for (const unit of ['a', 'é', '€', '😀']) {
      const text = `x${unit.repeat(200_000)}`;
      expect((await decodeInTurns([Buffer.from(text)])) === text).toBe(true);
    }
    expect(await decodeInTurns([])).toBe('');
    expect(() => decodeInTurns([Buffer.from('\ufeff{}')])).toThrow(JsonError);
    expect(() => decodeInTurns([Buffer.from('\ufeff'), Buffer.from('{}')])).toThrow(JsonError);
  });
});

describe('long JSON', () => {
  const spaced = (depth: number): string =>
    depth === 0
      ? '[1.50, "\\u00e9", null]'
      : `{ "a": ${spaced(depth - 1)}, "b" : [ ${spaced(depth - 1)} ], "a": {}, "c": ${spaced(depth - 1)} }`;
  const long = spaced(9);

  test('is read in turns to the same texts', async () => {
    const body = `{"first": ${long}, "second":[${long}],"third":1e2}`;
    const found = members(body) ?? new Map<string, string>();
    expect(await membersInTurns(body)).toEqual(found);
    expect(found.get('first')).toBe(normalise(long));
    expect(JSON.parse(found.get('first') ?? '')).toEqual(JSON.parse(long));
    expect(await valuesInTurns(`[${long}, 2, "x"]`)).toEqual([JSON.parse(long), 2, 'x']);
  });

  test('of another kind is none, and what is no JSON is refused', async () => {
    expect(await membersInTurns(`[${long}]`)).toBeUndefined();
    expect(await valuesInTurns(long)).toBeUndefined();
    for (const read of [membersInTurns, valuesInTurns]) {
      await expect((async () => read(`[${long}`))()).rejects.toThrow(JsonError);
      await expect((async () => read(`{"a":${long}}}`))()).rejects.toThrow(JsonError);
      await expect((async () => read(''))()).rejects.toThrow(JsonError);
    }
  });

  test.each([
    ['one value', (text: string) => membersInTurns(`{"a":${text}}`)],
    ['a value that nobody wants', (text: string) => valuesInTurns(`{"a":${text}}`)],
    ['many elements', (text: string) => valuesInTurns(text)],
  ])('lets the event loop go round: %s', async (_, read) => {
    const before = round;
    await read(`[${'{"a": [1.50]},'.repeat(300_000)}0]`);
    expect(round - before).toBeGreaterThan(3);
  });
});
