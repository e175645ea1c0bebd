import { describe, expect, test } from 'vitest';
import { accepts } from '../../src/http/accept.js';
import { requireContentType } from '../../src/http/body.js';
import { checkDesignDocument } from '../../src/http/design-document.js';
import { matches } from '../../src/http/etag.js';
import { emptyListQuery, idRange, readListQuery } from '../../src/http/list-query.js';
import { first, integer, parseBoolean, parseCount, parseQuery } from '../../src/http/query.js';

describe('parseQuery', () => {
  test.each([
    ['', []],
    [
      'a=1&b',
      [
        ['a', '1'],
        ['b', ''],
      ],
    ],
    [
      'a=1;b=2',
      [
        ['a', '1'],
        ['b', '2'],
      ],
    ],
    [
      'a=x+y%2B&&=',
      [
        ['a', 'x y+'],
        ['', ''],
      ],
    ],
    ['a=b=c', [['a', 'b=c']]],
    [
      'a=1&a=2',
      [
        ['a', '1'],
        ['a', '2'],
      ],
    ],
    ['__proto__=1', [['__proto__', '1']]],
  ])('%s', (text, pairs) => {
    expect(parseQuery(text)).toEqual(pairs);
  });

  test('refuses what is no UTF-8', () => {
    expect(() => parseQuery('a=%ff')).toThrow('UTF-8');
  });

  test('the first of several values is found', () => {
    expect(first(parseQuery('a=1&a=2'), 'a')).toBe('1');
    expect(first(parseQuery('a=1'), 'b')).toBeUndefined();
  });
});

describe('values', () => {
  test('switches are true or false in any case', () => {
    expect(parseBoolean('TRUE')).toBe(true);
    expect(parseBoolean(false)).toBe(false);
    expect(() => parseBoolean('1')).toThrow('Invalid boolean parameter: "1"');
    expect(() => parseBoolean('')).toThrow('Invalid boolean parameter: []');
  });

  test('counts are whole and not negative', () => {
    expect([parseCount('0'), parseCount('+7'), parseCount(3)]).toEqual([0, 7, 3]);
    expect(() => parseCount('-1')).toThrow('Invalid value for positive integer: "-1"');
    for (const bad of ['', '1.5', 'x', '1e3', ' 1', 1.5, null]) {
      expect(() => parseCount(bad)).toThrow('Invalid value for integer');
    }
    expect(integer('0x1')).toBeUndefined();
  });
});

describe('accepts', () => {
  test.each([
    [undefined, 'multipart/mixed', true],
    ['*/*', 'multipart/mixed', true],
    ['application/json', 'application/json', true],
    ['application/json', 'multipart/mixed', false],
    ['application/*;q=0.5', 'application/json', true],
    ['text/html,application/xhtml+xml;q=0.9,*/*;q=0.8', 'multipart/mixed', true],
    ['*/*;q=0', 'application/json', false],
    ['*/*, application/json;q=0', 'application/json', false],
    ['application/json;q=0, application/*', 'application/json', false],
    ['APPLICATION/JSON; charset=utf-8', 'application/json', true],
    ['application/json;q=x', 'application/json', false],
    ['', 'application/json', false],
  ])('%s admits %s: %s', (header, type, expected) => {
    expect(accepts(header, type)).toBe(expected);
  });
});

test('content types count without their parameters', () => {
  expect(() => requireContentType('application/json;charset=utf-8', 'application/json')).not.toThrow();
  for (const bad of [undefined, '', 'text/plain', 'application/jsonx', 'Application/JSON']) {
    expect(() => requireContentType(bad, 'application/json')).toThrow(
      'Content-Type must be application/json',
    );
  }
});

test('If-None-Match may name several, and weak ones', () => {
  expect(matches('"a", W/"b"', '"b"')).toBe(true);
  expect(matches('"a"', '"b"')).toBe(false);
  expect(matches(undefined, '"b"')).toBe(false);
});

describe('ranges of ids', () => {
  const range = (...parameters: [string, string][]) => idRange(readListQuery(emptyListQuery(), parameters));

  test('what is no text sorts before all ids', () => {
    expect(range(['startkey', '{}'])).not.toHaveProperty('start');
    expect(range(['endkey', '5'])).toMatchObject({ end: '' });
    expect(range(['startkey', 'null'], ['descending', 'true'])).toMatchObject({
      start: '',
      descending: true,
    });
    expect(range(['endkey', '[]'], ['descending', 'true'])).not.toHaveProperty('end');
  });

  test('later parameters win, and keys win over document ids', () => {
    expect(range(['startkey', '"a"'], ['start_key', '"b"'], ['startkey_docid', 'c'])).toMatchObject({
      start: 'b',
    });
    expect(range(['endkey_docid', 'c'])).toMatchObject({ end: 'c' });
    expect(range(['limit', '1'], ['limit', '2'], ['skip', '3'])).toMatchObject({ limit: 2, skip: 3 });
  });
});

describe('design documents', () => {
  const check = (document: Record<string, unknown>) => () =>
    checkDesignDocument(JSON.stringify(document), false);

  test.each([
    {},
    { language: 'javascript', views: {} },
    { views: { lib: { a: 1 }, v: { map: 'x', reduce: '_sum' } } },
    { views: { v: { map: 'x', reduce: '_top_5' } } },
    { language: 'query', views: { v: { map: { fields: {} } } } },
    { filters: { f: 'x', g: { h: 'x' } }, rewrites: [], validate_doc_update: 'x', other: 5 },
    { views: { __proto__x: { map: 'x' } } },
  ])('%j is one', (document) => {
    expect(check(document)).not.toThrow();
  });

  test.each([
    [{ views: 'x' }, '`views` field must have object type'],
    [{ views: [] }, '`views` field must have object type'],
    [{ views: { v: 5 } }, '`views.v` field must have object type'],
    [{ views: { v: {} } }, 'View `v` must contain map function'],
    [{ views: { v: { map: 5 } } }, '`views.v.map` field must have string type'],
    [{ views: { v: { map: 'x', reduce: 1 } } }, '`views.v.reduce` field must have string type'],
    [{ views: { v: { map: 'x', reduce: '_nope' } } }, '`_nope` is not a supported reduce function.'],
    [{ views: { v: { map: 'x', reduce: '_top_0' } } }, 'rank value must be between 1 and 100'],
    [{ views: { lib: 5 } }, '`views.lib` field must have object type'],
    [{ language: 5 }, '`language` field must have string type'],
    [{ filters: { f: 5 } }, '`filters.f` field must have string or object type'],
    [{ rewrites: 5 }, '`rewrites` field must have array or string type'],
    [{ options: { local_seq: 1 } }, '`options.local_seq` field must have boolean type'],
    [{ options: { partitioned: true } }, 'partitioned option cannot be true in a non-partitioned database.'],
    [{ validate_doc_update: 5 }, '`validate_doc_update` field must have string type'],
    [{ language: 'query', views: { v: { map: 'x' } } }, '`views.v.map` field must have object type'],
  ])('%j is none', (document, reason) => {
    expect(check(document)).toThrow(`invalid_design_doc: ${reason}`);
  });
});
