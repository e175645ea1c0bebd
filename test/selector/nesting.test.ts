import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compileFields } from '../../src/selector/fields.js';
import { compileSelector } from '../../src/selector/match.js';
import { startApp, type Answer, type TestApp } from '../http/app.js';

let it: TestApp;
beforeAll(async () => {
  it = await startApp();
  await it.request('PUT', '/db');
});
afterAll(() => it.stop());

const ask = (body: string, query = ''): Promise<Answer> =>
  it.request('POST', `/db/_changes?filter=_selector${query}`, {
    text: body,
    headers: { 'content-type': 'application/json' },
  });

/** Text that is nested so deep. */
const nest = (open: string, inside: string, close: string, depth: number): string =>
  open.repeat(depth) + inside + close.repeat(depth);

/** Ways to nest a selector, each with the depth that one of it takes. */
const NESTINGS: [way: string, of: (times: number) => string, levels: number][] = [
  ['$and', (times) => nest('{"$and":[', '{"a":1}', ']}', times), 2],
  ['$nor', (times) => nest('{"$nor":[', '{"a":1}', ']}', times), 2],
  ['$not', (times) => nest('{"$not":', '{"a":1}', '}', times), 1],
  ['fields', (times) => nest('{"a":', '1', '}', times), 1],
  ['$elemMatch', (times) => `{"a":${nest('{"$elemMatch":', '{"$eq":1}', '}', times)}}`, 1],
  ['a value', (times) => `{"a":{"$eq":${nest('[', '1', ']', times)}}}`, 1],
  ['an empty value', (times) => `{"a":{"$in":[${nest('[', '', ']', times)}]}}`, 1],
];

describe('a selector that is nested', () => {
  test.each(NESTINGS)('by %s may be so up to a limit', async (_, of, levels) => {
    expect(await ask(`{"selector":${of(Math.floor(95 / levels))}}`)).toMatchObject({ status: 200 });
    for (const times of [102, 1200, Math.floor(2490 / levels)]) {
      expect(await ask(`{"selector":${of(times)}}`)).toMatchObject({
        status: 400,
        body: { error: 'bad_request', reason: 'Selector error: nested deeper than 100' },
      });
    }
  });

  test('deeper than any JSON that is read is refused', async () => {
    const body = `{"selector":${nest('{"$not":', '{}', '}', 100_000)}}`;
    expect(await ask(body)).toMatchObject({
      status: 400,
      body: { reason: 'JSON may not nest deeper than 2500' },
    });
  });

  test('means what it says down to the limit', () => {
    const nots = (times: number): unknown => JSON.parse(nest('{"$not":', '{"a":1}', '}', times));
    expect(compileSelector(nots(98))({ a: 1 })).toBe(true);
    expect(compileSelector(nots(99))({ a: 1 })).toBe(false);
    expect(compileSelector(nots(99))({ a: 2 })).toBe(true);
    expect(() => compileSelector(nots(100))).toThrow(expect.objectContaining({ status: 400 }) as Error);
  });

  test('or long is refused beyond a length, and so are the fields', async () => {
    const list = (count: number): string => `[${'"abcdefg",'.repeat(count)}"abcdefg"]`;
    expect(await ask(`{"selector":{"a":{"$in":${list(9000)}}},"fields":${list(9000)}}`)).toMatchObject({
      status: 200,
    });
    expect(await ask(`{"selector":{"a":{"$in":${list(10_000)}}}}`)).toMatchObject({
      status: 400,
      body: {
        error: 'bad_request',
        reason: 'Selector error: selector must not be longer than 100000 characters',
      },
    });
    expect(await ask(`{"selector":{},"fields":${list(10_000)}}`)).toMatchObject({
      status: 400,
      body: {
        error: 'bad_request',
        reason: 'Selector error: fields must not be longer than 100000 characters',
      },
    });
    // What is not asked for may be as long as it likes.
    expect(await ask(`{"selector":{},"other":${list(20_000)}}`)).toMatchObject({ status: 200 });
  });
});

describe('documents that are nested as deep as can be', () => {
  const DEPTH = 2490;
  const objects = nest('{"a":', '1', '}', DEPTH);
  const arrays = nest('[', '1', ']', DEPTH);
  beforeAll(async () => {
    for (const [id, text] of [
      ['objects', objects],
      ['arrays', `{"a":${arrays}}`],
      ['flat', '{"a":1}'],
    ] as const) {
      expect((await it.request('PUT', `/db/${id}`, { text })).status).toBe(201);
    }
  });

  const fits = async (selector: string): Promise<string[]> => {
    const { status, body } = await ask(`{"selector":${selector}}`);
    expect(status).toBe(200);
    return (body as { results: { id: string }[] }).results.map(({ id }) => id).sort();
  };
  const path = (times: number): string => Array<string>(times).fill('a').join('.');

  test.each([
    ['{"a":{"$exists":true}}', ['arrays', 'flat', 'objects']],
    ['{"a":{"$type":"object"}}', ['objects']],
    [`{"${path(DEPTH)}":1}`, ['objects']],
    [`{"${path(DEPTH + 1)}":{"$exists":false}}`, []],
    [`{"${path(DEPTH - 90)}":${nest('{"a":', '1', '}', 90)}}`, ['objects']],
    [`{"${path(DEPTH - 90)}":{"$eq":${nest('{"a":', '1', '}', 90)}}}`, ['objects']],
    [`{"a":{"$gt":${nest('[', '', ']', 95)}}}`, ['arrays', 'objects']],
    [`{"a":{"$lt":${nest('[', '1', ']', 95)}}}`, ['flat']],
    [`{"a":{"$gt":${nest('{"a":', '1', '}', 95)}}}`, ['objects']],
    [`{"a":{"$ne":${nest('{"a":', '1', '}', 95)}}}`, ['arrays', 'flat', 'objects']],
    [`{"a":${nest('{"$elemMatch":', '{"$type":"array"}', '}', 95)}}`, ['arrays']],
    [`{"a":{"$all":[${nest('[', '1', ']', 90)}]}}`, []],
  ])('are matched by %.60s', async (selector, wanted) => {
    expect(await fits(selector)).toEqual(wanted);
  });

  test('can be shown in part', async () => {
    const body = `{"selector":{"a":{"$type":"object"}},"fields":["${path(DEPTH - 1)}","a.b"]}`;
    const { text } = await ask(body, '&include_docs=true');
    expect(text).toContain(`"doc":${objects}`);
    const project = compileFields([path(50_000)]);
    expect(project?.(JSON.parse(objects) as Record<string, unknown>)).toEqual({});
  });
});
