import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JsonError, JsonReader, MAX_DEPTH } from '../../src/json/reader.js';
import { decodeBody, elements, members, normalise, parseJson } from '../../src/json/text.js';

const space = fc.stringMatching(/^[ \n\r\t]{0,2}$/);

/** Strings with what tends to go wrong; no lone surrogates. */
const texts = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.constantFrom(
    '__proto__',
    'constructor',
    '',
    '\u0000',
    '\u2028',
    '"',
    '\\',
    '/',
    '\u007f',
    '\ufeff',
    '😀',
    'é',
  ),
);

/** A string as JSON text, some of its units escaped without need. */
const stringText = fc.tuple(texts, fc.infiniteStream(fc.nat(3))).map(([text, choices]) => {
  let out = '"';
  for (let at = 0; at < text.length; at++) {
    const unit = text.charAt(at);
    const code = text.charCodeAt(at);
    const choice = choices.next().value as number;
    const hex = code.toString(16).padStart(4, '0');
    if (code < 0x20 || unit === '"' || unit === '\\') out += `\\u${choice > 1 ? hex.toUpperCase() : hex}`;
    else if (unit === '/' && choice === 1) out += '\\/';
    else if (choice === 0) out += `\\u${hex}`;
    else out += unit;
  }
  return `${out}"`;
});

const numberText = fc.oneof(
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.stringMatching(/^-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?$/),
);

/** Any JSON text: white space, needless escapes, keys that are repeated. */
const { json } = fc.letrec<{ json: string }>((tie) => {
  const value = tie('json');
  const item = fc.tuple(space, value, space).map((parts) => parts.join(''));
  const key = fc.oneof(stringText, fc.constantFrom('"a"', '"\\u0061"', '"b"', '"k3"', '"__proto__"'));
  const member = fc
    .tuple(space, key, space, item)
    .map(([before, name, after, of]) => `${before}${name}${after}:${of}`);
  const many = fc.constantFrom(0, 0, 0, 15);
  return {
    json: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom('true', 'false', 'null'),
      numberText,
      stringText,
      fc
        .tuple(space, fc.array(item, { maxLength: 4 }))
        .map(([s, items]) => `[${items.length > 0 ? items.join(',') : s}]`),
      fc.tuple(space, fc.array(member, { maxLength: 5 }), many).map(([s, given, more]) => {
        // Enough keys for the larger of the two ways to find duplicates.
        const filled = [...Array.from({ length: more }, (_, at) => `"k${String(at)}":1`), ...given];
        return `{${filled.length > 0 ? filled.join(',') : s}}`;
      }),
    ),
  };
});

/** The value of a JSON text in a form that can be compared, whatever its keys are called and wherever they stand. */
const valueOf = (text: string): string => JSON.stringify(sorted(JSON.parse(text)));

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(sorted);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return { entries: entries.map(([key, part]) => [key, sorted(part)]) };
}

const RUNS = { numRuns: 3000 };

const refused = (text: string): boolean => {
  try {
    normalise(text);
    return false;
  } catch (error) {
    if (error instanceof JsonError) return true;
    throw error;
  }
};

describe('normalise', () => {
  test('keeps the value that JSON.parse finds', () => {
    fc.assert(
      fc.property(space, json, space, (before, text, after) => {
        expect(valueOf(normalise(before + text + after))).toBe(valueOf(text));
        expect(valueOf(JSON.stringify(parseJson(text)))).toBe(valueOf(text));
      }),
      RUNS,
    );
  });

  test('leaves its own form alone', () => {
    fc.assert(
      fc.property(json, (text) => {
        const once = normalise(text);
        expect(normalise(once)).toBe(once);
      }),
      RUNS,
    );
  });

  test('changes nothing in what JSON.stringify writes', () => {
    const values = fc.jsonValue({ maxDepth: 4 }).filter((value) => JSON.stringify(value).isWellFormed());
    fc.assert(
      fc.property(values, (value) => {
        const text = JSON.stringify(value, (_, part: unknown) =>
          typeof part === 'number' ? Math.trunc(part) % 1e9 : part,
        );
        expect(normalise(text)).toBe(text);
      }),
      RUNS,
    );
  });

  test('refuses what JSON.parse refuses', () => {
    const unit = fc.constantFrom(...Array.from('{}[]",:\\ \n\u0000\u00a0\ufeff0123.-+eEtrufalsn/ubx'));
    const broken = fc
      .tuple(json, fc.nat({ max: 200 }), fc.nat({ max: 2 }), fc.array(unit, { maxLength: 2 }))
      .map(([text, at, drop, insert]) => text.slice(0, at) + insert.join('') + text.slice(at + drop));
    const valid = (text: string): boolean => {
      try {
        JSON.parse(text);
        return true;
      } catch {
        return false;
      }
    };
    let invalid = 0;
    fc.assert(
      fc.property(broken, (text) => {
        // Cutting may leave half of a pair of surrogates, or make a number too large: stated below.
        fc.pre(!/\\u[dD][89a-fA-F]|[\ud800-\udfff]|[0-9][eE]/.test(text));
        expect(refused(text)).toBe(!valid(text));
        if (!valid(text)) invalid++;
      }),
      { numRuns: 5000 },
    );
    expect(invalid).toBeGreaterThan(500);
  });

  test.each([
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\udc00"',
    '{"\\ud800":1}',
    '["a\\uD83D"]',
    '"\\ud83d\\u0041"',
  ])('refuses the lone surrogate in %j', (text) => expect(refused(text)).toBe(true));

  test('takes surrogates that are a pair, however they are written', () => {
    expect(normalise('"\\ud83d\\ude00"')).toBe('"😀"');
    expect(normalise('"\\uD83D\\uDE00 😀"')).toBe('"😀 😀"');
  });

  test.each(['1e400', '-1e400', '[1e309]', '{"a":1.5e999}'])('refuses %s, which no double holds', (text) =>
    expect(refused(text)).toBe(true),
  );

  test.each([
    ['1.0', '1.0'],
    ['1.50', '1.5'],
    ['-0', '0'],
    ['-0.0', '-0.0'],
    ['-1e-400', '-0.0'],
    ['-0.5', '-0.5'],
    ['0.0', '0.0'],
    ['1e2', '100.0'],
    ['1E+2', '100.0'],
    ['1e-7', '1e-7'],
    ['123456789012345678901234567890', '123456789012345678901234567890'],
    ['-9007199254740993', '-9007199254740993'],
    ['12345678901234567890.0', '12345678901234567000.0'],
    ['1e21', '1e+21'],
    ['0.1e1', '1.0'],
    ['1e-400', '0.0'],
  ])('writes the number %s as %s', (given, wanted) => {
    expect(normalise(given)).toBe(wanted);
    expect(normalise(` {"a":[${given}]}`)).toBe(`{"a":[${wanted}]}`);
    expect(Number(wanted)).toBe(Number(given) === 0 && wanted === '0' ? 0 : Number(given));
  });

  test('reads down to MAX_DEPTH and no deeper', () => {
    const nested = (depth: number): string => '[{"a":'.repeat(depth / 2) + '1' + '}]'.repeat(depth / 2);
    expect(normalise(nested(MAX_DEPTH))).toBe(nested(MAX_DEPTH));
    expect(normalise(` ${nested(MAX_DEPTH)}`)).toBe(nested(MAX_DEPTH));
    expect(refused(nested(MAX_DEPTH + 2))).toBe(true);
    expect(refused('['.repeat(1_000_000))).toBe(true);
    // Side by side is not deep.
    expect(refused(`[${Array.from({ length: MAX_DEPTH * 2 }, () => '{}').join(',')}]`)).toBe(false);
  });

  test('the last of duplicate keys counts, and keeps its place', () => {
    expect(normalise('{"a":1,"b":2,"\\u0061":3}')).toBe('{"b":2,"a":3}');
    expect(normalise('{"__proto__":1,"x":{"__proto__":2,"y":0,"__proto__":[3]}}')).toBe(
      '{"__proto__":1,"x":{"y":0,"__proto__":[3]}}',
    );
  });

  test('duplicates are found among many keys too', () => {
    const members = Array.from({ length: 40 }, (_, at) => `"k${String(at)}":${String(at)}`);
    for (const [again, before] of [
      [20, 3],
      [39, 20],
      [12, 0],
      [13, 12],
    ] as const) {
      const text = members.map((member, at) => (at === again ? `"k${String(before)}":-1` : member));
      const wanted = members.flatMap((member, at) =>
        at === before ? [] : at === again ? [`"k${String(before)}":-1`] : [member],
      );
      expect(normalise(`{${text.join(',')}}`)).toBe(`{${wanted.join(',')}}`);
    }
  });

  test('keys that look like numbers keep their place', () => {
    expect(normalise('{ "b":1,"2":2,"1":3}')).toBe('{"b":1,"2":2,"1":3}');
  });
});

describe('members and elements', () => {
  test('members gives each one as text, in order; __proto__ is a name like any other (I13)', () => {
    const found = members(' {"b": 1.0 ,"__proto__":{"polluted":true},"2":[ ],"b" :2e0}');
    expect([...(found ?? [])]).toEqual([
      ['__proto__', '{"polluted":true}'],
      ['2', '[]'],
      ['b', '2.0'],
    ]);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test('members agree with JSON.parse', () => {
    fc.assert(
      fc.property(json, (text) => {
        const value = JSON.parse(text) as unknown;
        const isList = Array.isArray(value);
        const isObject = typeof value === 'object' && value !== null && !isList;
        const own = isObject ? Object.entries(value) : [];
        const read = Array.from(members(text) ?? [], ([name, part]) => [name, valueOf(part)] as const);
        expect(new Map(read)).toEqual(
          new Map(own.map(([name, part]) => [name, valueOf(JSON.stringify(part))])),
        );
        expect(members(text) === undefined).toBe(!isObject);
        expect(elements(text)?.map(valueOf)).toEqual(
          isList ? value.map((part) => valueOf(JSON.stringify(part))) : undefined,
        );
      }),
      RUNS,
    );
  });

  test.each([
    '{"a":1}x',
    '[1]]',
    '',
    ' ',
    '{"a":1',
    '[1',
    '1 2',
    '{,}',
    '[,]',
    '[1,]',
    '{"a":1,}',
    '{a:1}',
    "{'a':1}",
  ])('both refuse %j', (text) => {
    expect(() => members(text)).toThrow(JsonError);
    expect(() => elements(text)).toThrow(JsonError);
  });
});

describe('a reader', () => {
  test('goes through a text piece by piece', () => {
    const reader = new JsonReader(' { "docs" : [ {"a": 1.0}, 2 ] , "new_edits":false } ');
    const seen: unknown[] = [];
    expect(reader.peek()).toBe('object');
    reader.openObject();
    for (let name = reader.nextMember(); name !== undefined; name = reader.nextMember()) {
      seen.push(name, reader.peek());
      if (name === 'docs') {
        reader.openArray();
        while (reader.nextElement()) seen.push(reader.readText());
      } else {
        seen.push(reader.readValue());
      }
    }
    reader.end();
    expect(seen).toEqual(['docs', 'array', '{"a":1.0}', '2', 'new_edits', 'other', false]);
  });

  test('is led through a text', () => {
    const reader = new JsonReader(' [ {} , [ ] , { "a" : [ 1 , [2,3] ] , "\\u0062":{"c":null} } ] ');
    const seen: unknown[] = [];
    const readNext = (): void => {
      const kind = reader.peek();
      if (kind === 'object') {
        reader.openObject();
        for (let name = reader.nextMember(); name !== undefined; name = reader.nextMember()) {
          seen.push(name);
          readNext();
        }
      } else if (kind === 'array') {
        reader.openArray();
        while (reader.nextElement()) readNext();
      } else {
        seen.push(reader.readValue());
      }
      seen.push(kind);
    };
    readNext();
    reader.end();
    expect(seen.join(' ')).toBe(
      'object array a 1 other 2 other 3 other array array b c  other object object array',
    );
  });

  test.each(['[1 2]', '[1,]', '[,1]', '[1}', '{"a" 1}', '{"a":1,}', '{,"a":1}', '{"a":1]', '{"a"', '['])(
    'that is led through %s finds the fault',
    (text) => {
      const reader = new JsonReader(text);
      const read = (): void => {
        if (reader.peek() === 'array') {
          reader.openArray();
          while (reader.nextElement()) reader.readText();
        } else {
          reader.openObject();
          while (reader.nextMember() !== undefined) reader.readText();
        }
        reader.end();
      };
      expect(read).toThrow(JsonError);
    },
  );

  test('tells every repetition of a key', () => {
    const seen: unknown[] = [];
    const reader = new JsonReader('{"a":1,"a":2}');
    reader.openObject();
    for (let name = reader.nextMember(); name !== undefined; name = reader.nextMember())
      seen.push(name, reader.readValue());
    expect(seen).toEqual(['a', 1, 'a', 2]);
  });
});

describe('a long string', () => {
  const length = 12_000_000;

  test.each([
    ['an escape', `\\n${'x'.repeat(length)}`, (text: string) => text],
    ['nothing but escapes', '\\n'.repeat(length), (text: string) => text],
    ['needless escapes', '\\u0041'.repeat(length / 4), () => 'A'.repeat(length / 4)],
  ])('may have %s', (_, text, wanted) => {
    expect(normalise(`"${text}"`) === `"${wanted(text)}"`).toBe(true);
    expect(refused(`"${text}`)).toBe(true);
    expect(refused(`"${text}\\x"`)).toBe(true);
    expect(refused(`"${text}\n"`)).toBe(true);
  });
});

describe('decodeBody', () => {
  test('takes UTF-8 and nothing else', () => {
    expect(decodeBody(Buffer.from('{"é":"😀"}'))).toBe('{"é":"😀"}');
    expect(() => decodeBody(Buffer.from([0x22, 0xff, 0x22]))).toThrow(JsonError);
    expect(() => decodeBody(Buffer.from([0xed, 0xa0, 0x80]))).toThrow(JsonError);
    expect(() => decodeBody(Buffer.from([0xc0, 0x80]))).toThrow(JsonError);
    expect(() => decodeBody(Buffer.from('\ufeff{}'))).toThrow(JsonError);
  });
});
