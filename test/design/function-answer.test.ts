import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readAnswer } from '../../src/design/function-answer.js';
import { readRewrite } from '../../src/design/rewrite-answer.js';
import { CouchError } from '../../src/errors.js';

const read = (value: unknown) => {
  const { status, type, headers, body } = readAnswer(JSON.stringify(value));
  return { status, type, headers, body: body.toString() };
};

const HTML = 'text/html; charset=utf-8';
const JSON_TYPE = 'application/json';

/** What a CouchDB 3.5.0 makes of it. */
const ANSWERS: readonly (readonly [given: object, status: number | undefined, type: string, body: string])[] =
  [
    [{ body: 'ü' }, undefined, HTML, 'ü'],
    [{ json: 1 }, undefined, JSON_TYPE, '1\n'],
    [{ json: null }, undefined, JSON_TYPE, 'null\n'],
    [{}, undefined, JSON_TYPE, ''],
    [{ body: 'a', json: 1 }, undefined, JSON_TYPE, '1\n'],
    [{ base64: 'aGk=' }, undefined, 'application/binary', 'hi'],
    [{ base64: 'aGk=', body: 'b' }, undefined, HTML, 'b'],
    [{ code: '200', body: 'b' }, 200, HTML, 'b'],
    [{ code: 600, body: 'b' }, 600, HTML, 'b'],
    [{ code: 418, json: { a: 1 } }, 418, JSON_TYPE, '{"a":1}\n'],
    [{ headers: { 'content-type': 'text/x' }, body: 'b' }, undefined, 'text/x', 'b'],
    [{ headers: { 'Content-Type': 'text/x' }, json: 1 }, undefined, 'text/x', '1\n'],
    [{ stop: true, body: 'b' }, undefined, HTML, 'b'],
  ];

describe('answers of show and update functions', () => {
  test.each(ANSWERS)('%j is read as CouchDB reads it', (given, status, type, body) => {
    expect(read(given)).toEqual({ status, type, headers: [], body });
  });

  test.each([
    [{ X: 1 }, ['X', '1']],
    [{ X: null }, ['X', 'null']],
    [{ X: ['a', 'b'] }, ['X', 'ab']],
    [{ X: 'ü' }, ['X', 'Ã¼']],
    [{ 'Set-Cookie': 'a=b' }, ['set-cookie', 'a=b']],
    [{ 'cache-control': 'max-age=3' }, ['Cache-Control', 'max-age=3']],
    [
      { Location: '/x', Vary: 'Foo', ETag: 'foo', Server: 'x', Date: 'y', Connection: 'close' },
      ['Location', '/x'],
    ],
    [{ 'Content-Length': '100', 'transfer-encoding': 'chunked', 'X-Couch-Request-ID': 'q' }, []],
    [{ 'Content-Security-Policy': 'none', 'X-Content-Type-Options': 'none' }, []],
    [{ 'Access-Control-Allow-Origin': '*', 'set-cookie': ' AuthSession=x', 'Clear-Site-Data': '*' }, []],
  ])('of the headers %j those are sent that are not the server’s', (headers, expected) => {
    expect(read({ headers, body: '' }).headers).toEqual(expected);
  });

  test.each([
    { code: 99 },
    { code: 101 },
    { code: 1000 },
    { code: 200.5 },
    { code: null },
    { headers: null },
    { headers: [] },
    { headers: { 'X-A': 'a\r\nX-B: c' } },
    { headers: { 'X A': 'a' } },
    { headers: { '': 'a' } },
    { headers: { 'X-A': '\0' } },
    { body: 1 },
    { body: {} },
    { base64: '!!' },
    { base64: 1 },
    { foo: 1, body: 'b' },
    { forbidden: 'x' },
    { stop: 1, body: 'b' },
    [1],
    null,
    'x',
  ])('%j is no answer', (given) => {
    expect(() => readAnswer(JSON.stringify(given))).toThrow('external_response_error');
  });

  test('whatever it is, it can be sent or is refused', () => {
    const header = fc.dictionary(fc.string(), fc.oneof(fc.string({ unit: 'binary' }), fc.jsonValue()));
    const answer = fc.record(
      {
        code: fc.oneof(fc.integer(), fc.jsonValue()),
        headers: fc.oneof(header, fc.jsonValue()),
        body: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(answer, fc.jsonValue()), (given) => {
        try {
          for (const text of [...read(given).headers, read(given).type])
            expect(text).toMatch(/^[\t\x20-\xff]*$/);
        } catch (error) {
          expect(error).toBeInstanceOf(CouchError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('answers of rewrite functions', () => {
  const SAME = { query: undefined, method: undefined, headers: [], body: undefined };

  test.each([
    ['"_show/s/a"', { ...SAME, path: '_show/s/a' }],
    ['{"path":"a","foo":1}', { ...SAME, path: 'a' }],
    ['{"path":"","query":{"a b":"c&d"}}', { ...SAME, path: '', query: [['a b', 'c&d']] }],
    ['{"path":"a","query":{"__proto__":"x"}}', { ...SAME, path: 'a', query: [['__proto__', 'x']] }],
    ['{"path":"a","method":"PUT","body":"b"}', { ...SAME, path: 'a', method: 'PUT', body: 'b' }],
    ['{"code":404,"body":"x","path":"a"}', { status: 404, headers: [], body: 'x' }],
    ['{"code":200,"json":{"a":1}}', { status: 200, headers: [], body: '' }],
  ])('%s is read as CouchDB reads it', (json, expected) => {
    expect(readRewrite(json)).toEqual(expected);
  });

  test.each([
    ['null', 404, 'Invalid path.'],
    ['""', 404, 'Invalid path.'],
    ['1', 500, 'bad rewrite'],
    ['[]', 500, 'bad rewrite'],
    ['{}', 500, 'Rewrite result must produce a new path.'],
    ['{"body":"x"}', 500, 'Rewrite result must produce a new path.'],
    ['{"path":1}', 500, 'bad path'],
    ['{"path":"a","query":[]}', 500, 'bad query'],
    ['{"path":"a","query":"x=1"}', 500, 'bad query'],
    ['{"path":"a","query":{"a":1}}', 500, 'object key/value must be strings "a"=1'],
    ['{"path":"a","headers":[]}', 500, 'bad headers'],
    ['{"path":"a","headers":{"X":1}}', 500, 'object key/value must be strings "X"=1'],
    ['{"path":"a","method":1}', 500, 'bad method'],
    ['{"path":"a","body":{"a":1}}', 500, 'bad body'],
    ['{"code":200,"body":1}', 500, 'bad body'],
    ['{"code":"x","body":"a"}', 500, 'bad code'],
    ['{"code":101}', 500, 'bad code'],
  ])('%s is refused', (json, status, reason) => {
    expect(() => readRewrite(json)).toThrow(
      expect.objectContaining({ status, error: 'rewrite_error', reason }) as Error,
    );
  });
});
