import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyRules, type RuledTarget } from '../../src/design/rewrite-rules.js';
import { CouchError } from '../../src/errors.js';
import { parseQuery } from '../../src/http/query.js';

const BASE = ['_design', 'w'];

/** Where rules send `path?query`. */
function send(rules: unknown, url: string, method = 'GET'): RuledTarget | undefined {
  const [path = '', query = ''] = url.split('?', 2);
  const parts = path.split('/').filter((part) => part !== '');
  return applyRules([rules].flat(), BASE, {
    method,
    path: parts.map((part) => decodeURIComponent(part)),
    query: parseQuery(query),
  });
}

/** The same in one line, with what is below the design document relative to it. */
function sent(rules: unknown, url: string, method = 'GET'): string | undefined {
  const target = send(rules, url, method);
  if (target === undefined) return undefined;
  const path = `/${target.path.join('/')}`.replace(/^\/_design\/w\/?/, '');
  const query = target.query.map(([key, value]) => `${key}=${value}`).join('&');
  return query === '' ? path : `${path}?${query}`;
}

/** Each is what a CouchDB 3.5.0 made of it, but for the order of what a client repeats. */
const OF_COUCHDB: readonly (readonly [
  rule: object | readonly object[],
  url: string,
  target: string | undefined,
])[] = [
  [{ from: '*', to: '_show/s/*' }, '', '_show/s'],
  [{ from: '*', to: '_show/s/*' }, '/a/b?x=1', '_show/s/a/b?x=1'],
  [{ from: '*', to: '_show/s/*' }, '/a%2Fb', '_show/s/a/b'],
  [{ to: '_show/s/a' }, '/x', '_show/s/a'],
  [{ from: '/p/*', to: '_show/s/a', query: { star: '*', id: ':id' } }, '/p', '_show/s/a?star=*&id=:id'],
  [{ from: '/p/*', to: '_show/s/a', query: { star: '*', id: ':id' } }, '/p/q?id=3', '_show/s/a?star=*&id=3'],
  [{ from: '/*', to: '../../*' }, '/', '/'],
  [{ from: '/*', to: '../../*' }, '/_all_docs?limit=1', '/_all_docs?limit=1'],
  [{ from: '/x/:id', to: '/_show/s/:id' }, '/x/a', '_show/s/a?id=a'],
  [{ from: '/x/:id', to: '/_show/s/:id' }, '/x/a?z=1', '_show/s/a?z=1&id=a'],
  [{ from: '/x/:id', to: '/_show/s/:id' }, '/x/%C3%A4', '_show/s/ä?id=ä'],
  [{ from: '/x/:id', to: '/_show/s/:id' }, '/x', undefined],
  [{ from: '/x/:id', to: '/_show/s/:id' }, '/x/a/b', undefined],
  [
    { from: '/x/:id', to: '_show/s/:id', query: { k: ':id', lit: 'lit', miss: ':miss', q: ':q' } },
    '/x/a?q=7&k=over',
    '_show/s/a?k=a&lit=lit&miss=:miss&q=7&id=a',
  ],
  [{ from: '/x/:a/y/:a', to: '_show/s/:a' }, '/x/1/y/2', '_show/s/2?a=1&a=2'],
  [{ from: '/x/:a', to: '_show/s/:b' }, '/x/1', '_show/s/undefined?a=1'],
  [{ from: '/x/:a', to: '_show/s/pre:a' }, '/x/1', '_show/s/pre:a?a=1'],
  [{ from: '/x/pre:a', to: '_show/s/a' }, '/x/pre1', undefined],
  [{ from: '/x/pre:a', to: '_show/s/a' }, '/x/pre:a', '_show/s/a'],
  [{ from: '/x/*', to: '_show/s/:id' }, '/x?id=a', '_show/s/a?id=a'],
  [{ from: '/a/*/b', to: '_show/s/*' }, '/a/1/b', '_show/s'],
  [{ from: '/a/*/b', to: '_show/s/*' }, '/a/x/y/b', undefined],
  [{ from: '/l/:a/*', to: '_show/s/*/:a' }, '/l/1/2/3', '_show/s/2/3?a=1'],
  [{ from: '/m/*', to: '_show/s/x*' }, '/m/1', '_show/s/x*'],
  [{ from: '/n/:a/:b', to: '_show/s/:b/x/:a' }, '/n/1/2', '_show/s/2/x/1?a=1&b=2'],
  [
    [
      { from: '/k/:a', to: '_show/s/a' },
      { from: '/k/b', to: '_show/s/b' },
    ],
    '/k/b',
    '_show/s/a?a=b',
  ],
  [{ from: 'k/', to: '_show/s/a' }, '/k', '_show/s/a'],
  [{ from: '//l', to: '_show/s/b' }, '/l/', '_show/s/b'],
  [{ from: '/x', to: '' }, '/x', ''],
  [{ from: '/x', to: '../..' }, '/x', '/'],
  [{ from: '/x', to: '..//../a' }, '/x', '/a'],
  [{ from: '/x', to: './_show/s/a' }, '/x', '_show/s/a'],
  [{ from: '/x', to: '_show/../_show/s/a' }, '/x', '_show/s/a'],
  [{ from: '/x', to: '_show//s//a/' }, '/x', '_show/s/a'],
  [{ from: '/x', to: '_show/s/b%2Fc' }, '/x', '_show/s/b%2Fc'],
  [{ from: '/x', to: '_show/s/a?x=1' }, '/x?id=a', '_show/s/a?x=1?id=a'],
  [{ from: '/x/:k', to: 'v', query: { key: ':k' } }, '/x/12', 'v?key="12"&k=12'],
  [
    { from: '/x/:k', to: 'v', query: { key: '"a"', startkey: 'abc' } },
    '/x/1',
    'v?key="\\"a\\""&startkey="abc"&k=1',
  ],
  [{ from: '/x/:k', to: 'v', query: { keys: [':k', 'z'] } }, '/x/1?k=2', 'v?keys=["1","z"]&k=2&k=1'],
  [
    { from: '/x/:k', to: 'v', query: { start_key: ':k', end_key: ':k' } },
    '/x/f',
    'v?start_key="f"&end_key="f"&k=f',
  ],
  [{ from: '/x/:k', to: 'v', query: { key: [':k', [':k', 'y']] } }, '/x/a', 'v?key=["a",[":k","y"]]&k=a'],
  [{ from: '/x/:k', to: 'v', query: { endkey: [':k', {}] } }, '/x/a', 'v?endkey=["a",{}]&k=a'],
  [{ from: '/x/:k', to: 'v', query: { key: { a: ':k' } } }, '/x/a', 'v?key={"a":":k"}&k=a'],
  [{ from: '/x/:k', to: 'v', query: { startkey_docid: ':k' } }, '/x/a', 'v?startkey_docid=a&k=a'],
  [{ from: '/x/:k', to: 'v', query: { list: [':k', 'x'] } }, '/x/foo', 'v?list=foox&k=foo'],
  [{ from: '/x/:k', to: 'v', query: { k: 'v' } }, '/x/1?k=2', 'v?k=v'],
  [
    { from: '/x/:k', to: 'v', query: { startkey: [':k'] }, formats: { k: 'int' } },
    '/x/12',
    'v?startkey=[12]&k=12',
  ],
  [{ from: '/x/:k', to: 'v', query: { key: ':k' }, formats: { k: 'int' } }, '/x/12', 'v?key=12&k=12'],
  [{ from: '/x/:k', to: 'v', query: { key: ':k' }, formats: { k: 'string' } }, '/x/12', 'v?key="12"&k=12'],
  [{ from: '/x/:k', to: 'v', query: { key: ':k' }, formats: { k: 'other' } }, '/x/12', 'v?key="12"&k=12'],
];

/** CouchDB fails with 500 at these, or makes lists of character codes of them. */
const BETTER: readonly (readonly [rule: object, url: string, target: string])[] = [
  [
    { from: '/x', to: 'v', query: { limit: 3, descending: true, nothing: null } },
    '/x',
    'v?limit=3&descending=true&nothing=null',
  ],
  [{ from: '/x', to: 'v', query: { key: 3 } }, '/x', 'v?key=3'],
  [{ from: '/x/:k', to: 'v', query: { obj: { a: ':k' } } }, '/x/a', 'v?obj={"a":":k"}&k=a'],
  [{ from: '/x/:k', to: 'v', query: { skip: ':k' }, formats: { k: 'int' } }, '/x/-05', 'v?skip=-5&k=-05'],
  [{ from: '/x/:k', to: 'v', query: { key: ':k' }, formats: { k: 'int' } }, '/x/1.5', 'v?key="1.5"&k=1.5'],
  [{ from: '/x/:k', to: 'v', query: { key: ':k' }, formats: { k: 'bool' } }, '/x/true', 'v?key=true&k=true'],
];

describe('rewrite rules', () => {
  test.each(OF_COUCHDB)('%j sends %s to %s, as in CouchDB', (rule, url, target) => {
    expect(sent(rule, url)).toBe(target);
  });

  test.each(BETTER)('%j sends %s to %s', (rule, url, target) => {
    expect(sent(rule, url)).toBe(target);
  });

  test('the first rule counts that has the method', () => {
    const rules = [
      { from: 'a', to: '1', method: 'POST' },
      { from: 'a', to: '2', method: 'GET' },
      { from: 'a', to: '3', method: '*' },
      { from: 'b', to: '4', method: 'get' },
    ];
    expect(['GET', 'PUT', 'POST', 'DELETE'].map((method) => sent(rules, '/a', method))).toEqual([
      '2',
      '3',
      '1',
      '3',
    ]);
    expect(sent(rules, '/b')).toBeUndefined();
  });

  test('what is no rule is passed over', () => {
    expect(sent([1, 'x', null, { from: 'x', to: 'y' }], '/x')).toBe('y');
    expect(sent([], '/x')).toBeUndefined();
  });

  test.each([
    [{ from: 'x' }, '500 error invalid_rewrite_target'],
    [{ from: 1, to: 'a' }, '500 rewrite_error a rewrite rule has an invalid `from`'],
    [{ from: 'x', to: 'a', query: 'foo' }, '500 rewrite_error a rewrite rule has an invalid `query`'],
    [{ from: 'x', to: '../../..' }, '500 insecure_rewrite_rule too many ../.. segments'],
    [{ from: 'x', to: '/../../../other/o' }, '500 insecure_rewrite_rule too many ../.. segments'],
    [{ from: 'x', to: 'x/../../../../a' }, '500 insecure_rewrite_rule too many ../.. segments'],
  ])('%j is refused', (rule, answer) => {
    const [status, error, ...reason] = answer.split(' ');
    expect(() => send(rule, '/x')).toThrow(
      expect.objectContaining({ status: Number(status), error, reason: reason.join(' ') }) as Error,
    );
  });

  test('whatever rules and requests say, nothing leaves the database', () => {
    const part = fc.oneof(
      fc.constantFrom(
        '..',
        '.',
        '',
        ':a',
        ':b',
        '*',
        'a',
        '_design',
        '%2e%2e',
        'a/..',
        '__proto__',
        ':__proto__',
      ),
      fc.string({ unit: 'grapheme', maxLength: 4 }),
    );
    const path = fc.array(part, { maxLength: 8 }).map((parts) => parts.join('/'));
    const value = fc.oneof(path, fc.jsonValue());
    const member = fc.oneof(
      fc.dictionary(fc.constantFrom('a', 'b', 'key', '__proto__'), value),
      fc.jsonValue(),
    );
    const rule = fc.record(
      { from: value, to: path, query: member, formats: member, method: fc.constantFrom('GET', '*', 'POST') },
      { requiredKeys: [] },
    );
    const pair = fc.tuple(fc.constantFrom('a', 'b', 'c', '__proto__'), fc.oneof(path, fc.constant('..')));
    fc.assert(
      fc.property(fc.array(rule), fc.array(part, { maxLength: 6 }), fc.array(pair), (rules, parts, query) => {
        try {
          const target = applyRules(rules, BASE, { method: 'GET', path: parts, query });
          for (const one of target?.path ?? []) expect(['..', '.', '']).not.toContain(one);
          for (const [, text] of target?.query ?? []) expect(typeof text).toBe('string');
        } catch (error) {
          expect(error).toBeInstanceOf(CouchError);
          expect((error as CouchError).status).toBe(500);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
