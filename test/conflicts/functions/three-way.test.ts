import { expect, test } from 'vitest';
import { merged, resolve } from './support.js';

type Case = [
  what: string,
  base: string | undefined,
  leaves: string[],
  result: string | string[],
  options?: object,
];

const LINES = { fields: { '/l': { list: { key: 'id' } } } };

const cases: Case[] = [
  ['edits of different fields', '{"a":1,"b":1}', ['{"a":2,"b":1}', '{"a":1,"b":2}'], '{"a":2,"b":2}'],
  ['the same edit twice', '{"a":1}', ['{"a":2}', '{"a":2.0}'], '{"a":2}'],
  ['different edits of a field', '{"a":1}', ['{"a":2}', '{"a":3}'], ['/a']],
  ['all clashes are named', '{}', ['{"a~/":2,"b":{"c":1}}', '{"a~/":3,"b":{"c":2}}'], ['/a~0~1', '/b/c']],
  [
    'three leaves',
    '{"a":1,"b":1,"c":1}',
    ['{"a":2,"b":1,"c":1}', '{"a":1,"b":2,"c":1}', '{"a":1,"b":1}'],
    '{"a":2,"b":2}',
  ],
  ['null is not missing', '{"a":null}', ['{"a":null,"b":1}', '{}'], '{"b":1}'],
  ['null set by one, removed by the other', '{"a":1}', ['{"a":null}', '{}'], ['/a']],
  ['removed by both', '{"a":1,"b":1}', ['{"b":1}', '{"b":2}'], '{"b":2}'],
  [
    'removed by both beside counters',
    '{"a":1,"b":1}',
    ['{"b":1}', '{"b":2}'],
    '{"b":2}',
    { fields: { '/b': 'counter' } },
  ],
  ['removed and unchanged', '{"a":1,"b":1}', ['{"b":2,"a":1}', '{"b":1}'], '{"b":2}'],
  ['removed and changed', '{"a":1}', ['{}', '{"a":2}'], ['/a']],
  ['removed and changed, the edit wins', '{"a":1}', ['{}', '{"a":2}'], '{"a":2}', { removed: 'edit-wins' }],
  [
    'removed and changed, the removal wins',
    '{"a":1}',
    ['{"a":2}', '{}'],
    '{}',
    { fields: { '/a': 'delete-wins' } },
  ],
  [
    'two edits clash, yet a removal wins',
    '{"a":1}',
    ['{"a":2}', '{"a":3}', '{}'],
    '{}',
    { removed: 'delete-wins' },
  ],
  ['added by both', '{}', ['{"a":1}', '{"a":1.0}'], '{"a":1}'],
  ['added by both, differently', '{}', ['{"a":1}', '{"a":2}'], ['/a']],
  ['objects added by both', '{}', ['{"o":{"x":1}}', '{"o":{"y":2}}'], '{"o":{"x":1,"y":2}}'],
  ['an object against a scalar', '{"o":{"x":1}}', ['{"o":{"x":2}}', '{"o":5}'], ['/o']],
  [
    'a change of type against none',
    '{"o":{"x":1},"b":1}',
    ['{"o":{"x":1},"b":2}', '{"o":[5],"b":1}'],
    '{"o":[5],"b":2}',
  ],
  ['a removed object with an edit in it', '{"o":{"x":1}}', ['{"o":{"x":2}}', '{"o":{"x":3}}', '{}'], ['/o']],
  ['arrays are whole', '{"l":[1]}', ['{"l":[1,2]}', '{"l":[1,3]}'], ['/l']],
  [
    'digits beyond a double count',
    '{"a":9007199254740992}',
    ['{"a":9007199254740993}', '{"a":9007199254740992,"b":1.0}'],
    '{"a":9007199254740993,"b":1.0}',
  ],
  [
    'the winner has the order of members',
    '{"a":1,"b":1}',
    ['{"b":1,"a":2,"d":1}', '{"a":1,"c":1,"b":2}'],
    '{"b":2,"a":2,"d":1,"c":1}',
  ],
  [
    'names such as __proto__',
    '{}',
    ['{"o":{"__proto__":1}}', '{"o":{"constructor":1}}'],
    '{"o":{"__proto__":1,"constructor":1}}',
  ],
  [
    'members of the server are the winner’s',
    '{"_x":1}',
    ['{"_x":2}', '{"_x":3,"_y":1,"a":1}'],
    '{"_x":2,"a":1}',
  ],
  [
    'attachments of different names',
    '{}',
    ['{"a":1,"_attachments":{"x":"md5-1"}}', '{"b":1,"_attachments":{"y":"md5-2"}}'],
    '{"a":1,"b":1,"_attachments":{"x":"md5-1","y":"md5-2"}}',
  ],
  [
    'attachments changed by both',
    '{"_attachments":{"x/":"md5-0"}}',
    ['{"_attachments":{"x/":"md5-1"}}', '{"_attachments":{"x/":"md5-2"}}'],
    ['/_attachments/x~1'],
  ],
  [
    'an attachment that one removed',
    '{"a":1,"_attachments":{"x":"md5-0"}}',
    ['{"a":2,"_attachments":{"x":"md5-0"}}', '{"a":1}'],
    '{"a":2}',
  ],
  ['no base, no difference', undefined, ['{"a":1,"b":[1]}', '{"b":[1.0],"a":1}'], '{"a":1,"b":[1]}'],
  [
    'no base',
    undefined,
    ['{"a":1,"o":{"x":1},"_attachments":{"f":"md5-1"}}', '{"a":2,"o":{},"b":1}'],
    ['/_attachments/f', '/a', '/b', '/o/x'],
  ],
  [
    'sets',
    '{"s":[1,2,3]}',
    ['{"s":[3,1,4]}', '{"s":[1,2.0,5,4,{"x":1}]}'],
    '{"s":[1,4,5,{"x":1}]}',
    { fields: { '/s': 'set' } },
  ],
  [
    'sets of any member, by exact value',
    '{"s":[]}',
    ['{"s":[9007199254740992,{"a":1,"b":2}]}', '{"s":[9007199254740993,{"b":2,"a":1.0}]}'],
    '{"s":[9007199254740992,{"a":1,"b":2},9007199254740993]}',
    { fields: { '/s': 'set' } },
  ],
  [
    'sets without a base',
    undefined,
    ['{"s":[1,2]}', '{"s":[2,1]}'],
    '{"s":[1,2]}',
    { fields: { '/s': 'set' } },
  ],
  [
    'positions',
    '{"p":[1,2,3]}',
    ['{"p":[9,2,3]}', '{"p":[1,2,8,4]}'],
    '{"p":[9,2,8,4]}',
    { fields: { '/p': 'position' } },
  ],
  [
    'positions that clash',
    '{"p":[1,2]}',
    ['{"p":[9,2]}', '{"p":[8,3]}'],
    ['/p/0'],
    { fields: { '/p': 'position' } },
  ],
  [
    'a gap in positions',
    '{"p":[1,2,3]}',
    ['{"p":[1]}', '{"p":[1,2,4]}'],
    ['/p'],
    { fields: { '/p': 'position' }, removed: 'edit-wins' },
  ],
  [
    'keyed lists',
    '{"l":[{"id":1,"n":1},{"id":2,"n":1}]}',
    ['{"l":[{"id":2,"n":1},{"id":1,"n":2},{"id":"x"}]}', '{"l":[{"id":1,"n":1},{"id":3},{"id":2,"n":3}]}'],
    '{"l":[{"id":2,"n":3},{"id":1,"n":2},{"id":"x"},{"id":3}]}',
    LINES,
  ],
  [
    'keyed lists: both append',
    '{"l":[{"id":1}]}',
    ['{"l":[{"id":1},{"id":2}]}', '{"l":[{"id":0},{"id":1},{"id":3}]}'],
    '{"l":[{"id":0},{"id":1},{"id":2},{"id":3}]}',
    LINES,
  ],
  [
    'keyed lists: removed',
    '{"l":[{"id":1},{"id":2}]}',
    ['{"l":[{"id":2}]}', '{"l":[{"id":1},{"id":2},{"id":3}]}'],
    '{"l":[{"id":2},{"id":3}]}',
    LINES,
  ],
  [
    'keyed lists: a clash in an element',
    '{"l":[{"id":"a","n":1}]}',
    ['{"l":[{"id":"a","n":2}]}', '{"l":[{"id":"a","n":3}]}'],
    ['/l/a/n'],
    LINES,
  ],
  [
    'keyed lists: moved differently',
    '{"l":[{"id":1},{"id":2},{"id":3}]}',
    ['{"l":[{"id":2},{"id":1},{"id":3}]}', '{"l":[{"id":3},{"id":1},{"id":2}]}'],
    ['/l'],
    LINES,
  ],
  [
    'keyed lists: a key twice',
    '{"l":[]}',
    ['{"l":[{"id":1},{"id":1.0}]}', '{"l":[{"id":2}]}'],
    ['/l'],
    LINES,
  ],
  ['keyed lists: no key', '{"l":[]}', ['{"l":[{"n":1}]}', '{"l":[{"id":2}]}'], ['/l'], LINES],
  ['counters', '{"n":1}', ['{"n":3}', '{"n":3}', '{"n":0}'], '{"n":4}', { fields: { '/n': 'counter' } }],
  [
    'counters deep in what is equal',
    '{"o":{"n":5}}',
    ['{"o":{"n":6}}', '{"o":{"n":6},"x":1}'],
    '{"o":{"n":7},"x":1}',
    { fields: { '/**/n': 'counter' } },
  ],
  [
    'counters of many digits',
    '{"n":9007199254740993}',
    ['{"n":9007199254740995}', '{"n":100000000000000000000000000001}'],
    '{"n":100000000000000000000000000003}',
    { fields: { '/n': 'counter' } },
  ],
  [
    'counters with fractions',
    '{"n":0.1}',
    ['{"n":0.3}', '{"n":0.2}'],
    '{"n":0.4}',
    { fields: { '/n': 'counter' } },
  ],
  [
    'a sum that no double holds',
    '{"n":0}',
    ['{"n":1e+17}', '{"n":0.1}'],
    ['/n'],
    { fields: { '/n': 'counter' } },
  ],
  [
    'a sum that a further leaf makes good',
    '{"n":0}',
    ['{"n":1e+17}', '{"n":0.1}', '{"n":-0.1}'],
    '{"n":100000000000000000}',
    { fields: { '/n': 'counter' } },
  ],
  ['counters that both began', '{}', ['{"n":1}', '{"n":2}'], '{"n":3}', { fields: { '/n': 'counter' } }],
  ['a counter that is none', '{"n":1}', ['{"n":2}', '{"n":"3"}'], ['/n'], { fields: { '/n': 'counter' } }],
  [
    'max of times',
    '{"t":"2026-01-01"}',
    ['{"t":"2026-01-02T00:30:00+01:00"}', '{"t":"2026-01-01T23:45:00Z"}'],
    '{"t":"2026-01-01T23:45:00Z"}',
    { fields: { '/t': 'max' } },
  ],
  ['min of numbers', '{"t":5}', ['{"t":9}', '{"t":8.5}'], '{"t":8.5}', { fields: { '/t': 'min' } }],
  [
    'the winner',
    '{"c":1,"d":{"x":1}}',
    ['{"c":2}', '{"c":3,"d":{"x":2}}'],
    '{"c":2}',
    { fields: { '/*': 'winner' } },
  ],
  [
    'an object as a whole',
    '{"o":{}}',
    ['{"o":{"x":1}}', '{"o":{"y":1}}'],
    ['/o'],
    { fields: { '/o': 'atomic' } },
  ],
];

test.each(cases)('%s', (_what, base, leaves, result, options = {}) => {
  const sides = { leaves, ...(base === undefined ? {} : { bases: base }) };
  expect(merged('three-way', { ...options }, sides)).toEqual(result);
});

test('each leaf is taken in against its own base, so that nothing counts twice', () => {
  // 0 -> 5 -> 6 and 7, and 0 -> 1: two edits of five, one of one.
  const sides = { leaves: ['{"n":6}', '{"n":7}', '{"n":1}'], bases: ['{"n":5}', '{"n":0}'] };
  expect(merged('three-way', { fields: { '/n': 'counter' } }, sides)).toBe('{"n":9}');
});

test('why something was not merged is said', () => {
  const resolution = resolve('three-way', {}, { leaves: ['{"a":1}', '{"a":2,"b":2}'], bases: '{"b":1}' });
  expect(resolution).toEqual({
    kind: 'defer',
    reason: 'one leaf removed it and another changed it; two leaves changed it differently',
    paths: ['/a', '/b'],
  });
});

test('documents that nest as deep as they may are merged', () => {
  const deep = (inner: string) =>
    `{"a":${'['.repeat(2498)}${inner}${']'.repeat(2498)},"o":${'{"o":'.repeat(2000)}1${'}'.repeat(2000)}`;
  const base = `${deep('1')},"x":1}`;
  const sides = { leaves: [`${deep('2')},"x":1}`, `${deep('1.0')},"x":2}`], bases: base };
  expect(merged('three-way', {}, sides)).toBe(`${deep('2')},"x":2}`);
  const objects = (inner: string) => `${'{"o":'.repeat(2499)}${inner}${'}'.repeat(2499)}`;
  const clash = merged('three-way', {}, { leaves: [objects('1'), objects('2')], bases: objects('0') });
  expect(clash).toEqual(['/o'.repeat(100)]);
});

test('a pointer counts before patterns, and the first pattern that fits before others', () => {
  const fields = { '/a/*': 'max', '/**/b': 'min', '/a/b': 'winner', '/x**': 'winner' };
  const sides = (name: string) => ({
    leaves: [`{"${name}":{"b":1,"c":1}}`, `{"${name}":{"b":2,"c":2}}`],
    bases: `{"${name}":{"b":0,"c":0}}`,
  });
  expect(merged('three-way', { fields }, sides('a'))).toBe('{"a":{"b":1,"c":2}}');
  expect(merged('three-way', { fields }, sides('z'))).toEqual(['/z/c']);
  expect(merged('three-way', { fields }, sides('x1'))).toBe('{"x1":{"b":1,"c":1}}');
});
