import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { builtIn, MergeOptionsError } from '../../../src/conflicts/functions/builtin.js';
import { merged, resolve } from './support.js';

interface Example {
  options: Record<string, unknown>;
  base?: object;
  leaves: object[];
  merge?: object;
  /** The place of a leaf. */
  pick?: number;
  documents?: { id: string; leaf: number }[];
}

const names = ['three-way', 'last-write-wins', 'union', 'keep-both', 'text'];

test.each(names)('the example on the page of %s is what comes out', (name) => {
  const page = readFileSync(`src/conflicts/functions/${name}.md`, 'utf8');
  const [, block = ''] = /```json\n([^]*?)```/.exec(page) ?? [];
  const example = JSON.parse(block) as Example;
  const { options, base, leaves, merge, pick, documents } = example;
  const texts = leaves.map((leaf) => JSON.stringify(leaf));
  const sides = { leaves: texts, ...(base && { bases: JSON.stringify(base) }) };
  const revOf = (leaf: number) => `2-${9 - leaf}`;
  if (merge !== undefined) {
    expect(merged(name, options, sides)).toBe(JSON.stringify(merge));
  } else {
    const others = documents && { documents: documents.map(({ id, leaf }) => ({ id, rev: revOf(leaf) })) };
    expect(resolve(name, options, sides)).toEqual({ kind: 'pick', rev: revOf(pick ?? 0), ...others });
  }
});

test('a version names the function and all of its options', () => {
  const { version } = builtIn('three-way', { fields: { '/a': 'set' } });
  expect(version).toBe('three-way 1 {"fields":{"/a":"set"},"removed":"clash"}');
});

test.each([
  ['threeway', {}, 'there is no merge function threeway; did you mean three-way?'],
  ['mine', {}, 'there is no merge function mine; there are three-way'],
  ['last-write-wins', {}, 'last-write-wins cannot take what is given as field; allowed is a JSON pointer'],
  ['last-write-wins', { field: '/*' }, 'cannot take what is given as field'],
  ['three-way', { feilds: {} }, 'three-way has no option feilds; its options are: fields, removed'],
  [
    'three-way',
    { fields: { tags: 'set' } },
    'three-way cannot take what is given as fields tags; allowed is rules',
  ],
  ['three-way', { fields: { '/a': 'sets' } }, 'three-way cannot take what is given as fields /a'],
  ['three-way', { fields: { '/a~2': 'set' } }, 'three-way cannot take what is given as fields /a~2'],
  ['union', { withoutBase: true }, 'allowed is defer or add'],
  ['keep-both', { ids: 1 }, 'keep-both has no option ids; its options are: none'],
])('%s with %j is refused, and what is wrong is said', (name, options, message) => {
  expect(() => builtIn(name, options)).toThrow(MergeOptionsError);
  expect(() => builtIn(name, options)).toThrow(message);
});

describe('last-write-wins', () => {
  const picked = (values: string[], field = '/t') =>
    resolve(
      'last-write-wins',
      { field },
      { leaves: values.map((value) => (value ? `{"t":${value}}` : '{}')) },
    );

  test.each([
    [['1', '2', '2.0'], 1],
    [['9007199254740992', '9007199254740993'], 1],
    [['null', '', '-5'], 2],
    [['', 'null'], 0],
    [['"2026-01-01T00:00:00.0001Z"', '"2026-01-01T00:00:00.00011Z"'], 1],
    [['"2026-01-01T23:00:00-0200"', '"2026-01-02"', '"2026-01-02T01:00"'], 0],
    [['"0050-01-01"', '"1950-01-01"'], 1],
  ])('of %j the leaf at %i is the last', (values, at) => {
    expect(picked(values)).toEqual({ kind: 'pick', rev: `2-${9 - at}` });
  });

  test.each([[['1', '"2026-01-01"']], [['1', '"soon"']], [['"2026-02-30"', '1']], [['[1]', '1']]])(
    '%j cannot be compared',
    (values) => {
      expect(picked(values)).toMatchObject({ kind: 'defer', paths: ['/t'] });
    },
  );

  test('the field may lie deep in the document', () => {
    expect(picked(['[{"at":1}]', '[{"at":2}]'], '/t/0/at')).toMatchObject({ rev: '2-8' });
  });
});

describe('union', () => {
  test.each([
    ['{"s":[1,2],"m":{"a":1}}', '{"s":[2,3],"m":{"b":1}}', '{"s":[1,2,3],"m":{"a":1,"b":1}}'],
    ['{"n":1,"v":1}', '{"n":2,"v":2}', ['/n', '/v']],
  ])('without a base %s and %s can be added', (one, other, result) => {
    const options = { withoutBase: 'add', fields: { '/n': 'counter' } };
    expect(merged('union', options, { leaves: [one, other] })).toEqual(result);
  });

  test('without a base it defers where leaves differ', () => {
    expect(merged('union', {}, { leaves: ['{"s":[1],"t":[1,2]}', '{"s":[2],"t":[2,1]}'] })).toEqual(['/s']);
  });

  test('what one removed and another changed stays', () => {
    const sides = { leaves: ['{}', '{"a":2}'], bases: '{"a":1}' };
    expect(merged('union', {}, sides)).toBe('{"a":2}');
  });
});

test('keep-both keeps the partition, and makes no copies of design documents', () => {
  const leaves = ['{"a":1}', '{"a":2}', '{"a":3}'];
  expect(resolve('keep-both', {}, { leaves, id: 'site:doc' })).toMatchObject({
    documents: [{ id: 'site:doc~2-8' }, { id: 'site:doc~2-7' }],
  });
  expect(resolve('keep-both', {}, { leaves, id: '_design/app' })).toMatchObject({ kind: 'defer' });
});

describe('text', () => {
  const lines = (base: string, ...texts: string[]) => {
    const leaves = texts.map((one) => JSON.stringify({ t: one }));
    const result = merged('text', {}, { leaves, bases: JSON.stringify({ t: base }) });
    return typeof result === 'string' ? (JSON.parse(result) as { t: string }).t : result;
  };

  test.each([
    ['a\nb\nc', 'A\nb\nc', 'a\nb\nC', 'A\nb\nC'],
    ['a\nb', 'a\nb\nc', 'x\na\nb', 'x\na\nb\nc'],
    ['a\nb\nc\n', 'a\nc\n', 'a\nb\nc\nd\n', 'a\nc\nd\n'],
    ['a\nb\nc', 'a\nX\nc', 'a\nX\nc\n', 'a\nX\nc\n'],
    ['a\nb\nc', 'a\r\nb\r\nc', 'a\nb\nC', 'a\r\nb\r\nC'],
    ['a\r\nb\r\nc', 'a\r\nb\r\nC', 'A\nb\nc', 'A\nb\nC'],
    ['', 'a', 'a', 'a'],
    ['a\na\na\nb', 'a\na\nb', 'a\na\na\nb\nc', 'a\na\nb\nc'],
    ['a\nb\nc', 'a\nX\nc', 'a\nY\nc', ['/t']],
    ['a\nb', 'X\nb', 'a\nY', ['/t']],
    ['', 'a', 'b', ['/t']],
  ])('%j changed to %j and %j', (base, ours, theirs, result) => {
    expect(lines(base, ours, theirs)).toEqual(result);
  });

  test('what is too different is one value', () => {
    const many = (letter: string) => Array.from({ length: 3000 }, (_, at) => `${letter}${at}`).join('\n');
    expect(lines(`x\n${many('a')}`, `x\n${many('b')}`, `y\n${many('a')}`)).toEqual(['/t']);
    const long = Array.from({ length: 50_000 }, (_, at) => String(at));
    const changed = long.map((line, at) => (at === 7 ? 'seven' : line));
    const appended = [...long, 'end'];
    const all = [...changed, 'end'].join('\n');
    expect(lines(long.join('\n'), changed.join('\n'), appended.join('\n')) === all).toBe(true);
  });
});
