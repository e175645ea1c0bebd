import { describe, expect, it, test } from 'vitest';
import { configSchema } from '../../src/config/schema.js';
import { shownUrl, withoutCredentials } from '../../src/replicator/endpoint.js';
import { InvalidReplication } from '../../src/replicator/invalid.js';
import { parseCancellation, parseRequest, readRequest } from '../../src/replicator/request.js';

const DEFAULTS = configSchema.parse({}).replication;
const SIDES = { source: 'http://a.example/x', target: 'https://b.example:6984/y/' };

const parse = (members: Record<string, unknown>) => parseRequest({ ...SIDES, ...members }, DEFAULTS);

function refusalOf(members: Record<string, unknown>): InvalidReplication {
  try {
    parse(members);
  } catch (error) {
    if (error instanceof InvalidReplication) return error;
    throw error;
  }
  throw new Error('it was taken');
}

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

describe('an endpoint', () => {
  it.each([
    ['a URL', 'http://a.example/x', 'http://a.example/x/', {}, null],
    [
      'a name and password in it',
      'http://u%40:p%3a@a.example/x',
      'http://a.example/x/',
      { authorization: basic('u@:p:') },
      'u@',
    ],
    ['a fragment', 'http://a.example/x#y', 'http://a.example/x/', {}, null],
    ['an encoded slash', 'http://a.example/x%2Fy', 'http://a.example/x%2Fy/', {}, null],
    ['an object', { url: 'http://a.example/x' }, 'http://a.example/x/', {}, null],
    [
      'an object with auth',
      { url: 'http://a:b@a.example/x', auth: { basic: { username: 'u', password: 'p' } } },
      'http://a.example/x/',
      { authorization: basic('u:p') },
      'u',
    ],
    [
      'headers',
      { url: 'http://a.example/x', headers: { Authorization: basic('u:p'), 'X-Y': 'z' } },
      'http://a.example/x/',
      { authorization: basic('u:p'), 'x-y': 'z' },
      'u',
    ],
    [
      'a token',
      { url: 'http://a.example/x', headers: { Authorization: 'Bearer abc' } },
      'http://a.example/x/',
      { authorization: 'Bearer abc' },
      null,
    ],
    [
      'a header that is no Base64',
      { url: 'http://a.example/x', headers: { Authorization: 'Basic §' } },
      'http://a.example/x/',
      { authorization: 'Basic §' },
      null,
    ],
  ])('may be %s', (_what, source, url, headers, user) => {
    expect(parse({ source }).source).toEqual({ url, headers, user });
  });

  it.each([
    [undefined, 'Missing replicator database'],
    ['x', 'local_endpoints_not_supported'],
    ['ftp://a/b', 'local_endpoints_not_supported'],
    [5, 'endpoint has an invalid url'],
    [null, 'endpoint has an invalid url'],
    [{}, 'endpoint has an invalid url'],
    [{ url: 5 }, 'endpoint has an invalid url'],
    [{ url: 'x' }, 'endpoint has an invalid url'],
    ['http://', 'endpoint has an invalid url'],
    ['http://x:y:z/', 'endpoint has an invalid url'],
    ['http://a/b?c=d', 'endpoint has an invalid url'],
    ['http://%ff:b@a/b', 'endpoint has an invalid url'],
  ])('cannot be %j', (source, reason) => {
    expect(refusalOf({ source }).ofDocument).toBe(reason);
  });

  it.each([
    [{ headers: 5 }, 'parameter `headers` must be an object'],
    [{ headers: { a: 5 } }, 'header `a` must be a string'],
    [{ headers: { a: 'b\r\nc: d' } }, 'header `a` must be a string'],
    [{ headers: { 'a b': 'c' } }, 'header `a b` cannot be sent'],
    [{ headers: { Host: 'other' } }, 'header `Host` cannot be sent'],
    [{ headers: { 'Transfer-Encoding': 'chunked' } }, 'header `Transfer-Encoding` cannot be sent'],
    [{ auth: 5 }, 'parameter `auth` must be an object'],
    [{ auth: { basic: {} } }, 'parameter `auth.basic` must have a username and a password'],
  ])('cannot have %j', (members, reason) => {
    expect(refusalOf({ source: { url: SIDES.source, ...members } }).answer).toMatchObject({
      status: 400,
      reason,
    });
  });

  it.each([
    ['http://u:p@a.example/x', 'http://a.example/x'],
    ['http://u:p@w@a.example/x', 'http://a.example/x'],
    ['http://a.example/x', 'http://a.example/x'],
    ['http://u:p@@:/', ':/'],
    ['http://a.example/x@y', 'http://a.example/x@y'],
    ['htpp://u:p@a.example/x', 'htpp://a.example/x'],
    ['htpp:u:p@a.example/x', 'a.example/x'],
    ['u:p@a.example/x', 'a.example/x'],
    ['htpp:a.example/x?password=p', null],
    ['a-name', 'a-name'],
    [
      { url: 'http://u:p@a.example/x', headers: { a: 'b' }, auth: {}, more: 1 },
      { url: 'http://a.example/x', more: 1 },
    ],
    [5, null],
  ])('%j is shown to others without credentials', (value, shown) => {
    expect(withoutCredentials(value)).toEqual(shown);
  });

  it.each([
    ['http://u:p@a.example/x', 'http://a.example/x/'],
    [{ url: 'http://u:p@a.example/x' }, 'http://a.example/x/'],
    ['http://u:p:q@w', 'http://w/'],
    ['http://u:p:q/w', null],
    ['a-name', 'a-name'],
    ['u:p@x', null],
    ['htpp://a.example/x', null],
    ['htpp:u:p', null],
    [null, null],
    [{ secret: 1 }, null],
  ])('%j is shown by the scheduler without credentials', (value, shown) => {
    expect(shownUrl(value)).toBe(shown);
  });
});

describe('a request', () => {
  it('has the defaults of the configuration where it says nothing', () => {
    expect(parse({})).toMatchObject({
      options: { useCheckpoints: true, useBulkGet: true },
      tuning: { workers: 8, batchSize: 500, retries: 5, checkpointInterval: 30_000 },
      http: { connections: 20, timeout: 30_000 },
    });
  });

  it('has what it says', () => {
    const members = {
      continuous: true,
      create_target: true,
      create_target_params: { q: 1 },
      doc_ids: ['b', 'a%2Fc', 'b', '%'],
      since_seq: 5,
      winning_revs_only: true,
      use_checkpoints: false,
      use_bulk_get: false,
      worker_processes: 1000,
      worker_batch_size: '7',
      http_connections: 3,
      connection_timeout: 1000,
      retries_per_request: 0,
      checkpoint_interval: 5,
      unknown: 1,
    };
    const { options, tuning, http } = parse(members);
    expect(options).toEqual({
      continuous: true,
      createTarget: true,
      createTargetParams: { q: 1 },
      docIds: ['%', 'a/c', 'b'],
      sinceSeq: 5,
      winningRevsOnly: true,
      useCheckpoints: false,
      useBulkGet: false,
    });
    expect(tuning).toEqual({ workers: 32, batchSize: 7, retries: 0, checkpointInterval: 5 });
    expect(http).toEqual({ connections: 3, timeout: 1000 });
  });

  it('is read bit by bit where it names many documents', () => {
    const ids = Array.from({ length: 50_000 }, (_, n) => `doc${(n * 7919) % 50_000}`);
    const work = readRequest({ ...SIDES, doc_ids: ids }, DEFAULTS);
    let steps = 0;
    for (let step = work.next(); ; step = work.next(), steps++) {
      if (step.done !== true) continue;
      expect(step.value.options.docIds).toEqual(ids.toSorted());
      break;
    }
    expect(steps).toBeGreaterThan(1000);
  });

  it.each([
    [{ selector: { a: { $gt: 1 } } }, { selector: '{"a":{"$gt":1}}' }],
    [{ selector: { a: { $regex: 'x' } } }, { selector: '{"a":{"$regex":"x"}}' }],
    [
      { filter: 'a/b', query_params: { c: 'd' } },
      { filter: 'a/b', queryParams: { c: 'd' } },
    ],
    [{ filter: '_view', query_params: { view: 'a/b' } }, { filter: '_view' }],
    [{ filter: '_design' }, { filter: '_design' }],
    [{ doc_ids: null }, {}],
  ])('may filter by %j', (members, options) => {
    expect(parse(members).options).toMatchObject(options);
  });

  it.each([
    ...['continuous', 'create_target', 'winning_revs_only', 'use_bulk_get', 'use_checkpoints', 'cancel'].map(
      (name) => [{ [name]: 'true' }, `parameter \`${name}\` must be a boolean`] as const,
    ),
    ...[
      'worker_processes',
      'worker_batch_size',
      'http_connections',
      'connection_timeout',
      'checkpoint_interval',
    ].map((name) => [{ [name]: 0 }, `parameter \`${name}\` must be an integer of at least 1`] as const),
    [{ retries_per_request: 'x' }, 'parameter `retries_per_request` must be an integer of at least 0'],
    [{ since_seq: {} }, 'parameter `since_seq` must be a sequence'],
    [{ doc_ids: 'a' }, 'parameter `doc_ids` must be an array'],
    [{ doc_ids: [5] }, 'parameter `doc_ids` must hold strings'],
    [{ selector: [] }, 'parameter `selector` must be a JSON object'],
    [{ selector: { a: { $bad: 1 } } }, 'Invalid operator: $bad'],
    [{ query_params: 'x' }, 'parameter `query_params` must be an object'],
    [{ create_target_params: 'q' }, 'parameter `create_target_params` must be a JSON object'],
    [{ filter: 5 }, 'parameter `filter` must be a string'],
    [{ filter: '_view' }, 'Invalid `view` parameter.'],
    [{ doc_ids: [], selector: {} }, '`doc_ids`,`filter`,`selector` are mutually exclusive'],
    [{ filter: 'a/b', doc_ids: ['a'] }, '`doc_ids`,`filter`,`selector` are mutually exclusive'],
    [{ proxy: 'http://p' }, 'parameter `proxy` is not supported by this version of Causeway'],
    [{ source_proxy: 'http://p' }, 'parameter `source_proxy` is not supported by this version of Causeway'],
  ] as const)('is refused with %j', (members, reason) => {
    expect(refusalOf(members).answer).toMatchObject({ status: 400, reason });
  });

  it('is refused as a document with what Erlang makes of the reason', () => {
    expect(refusalOf({ continuous: 1 }).refusal).toMatchObject({
      status: 403,
      reason: '{throw,{bad_request,<<"parameter `continuous` must be a boolean">>}}',
    });
    expect(refusalOf({ filter: 'nofilter' }).refusal.reason).toBe(
      'Invalid filter. Must match `ddocname/filtername`.',
    );
  });
});

test('a cancelling request names a replication by its id, or by what it is', () => {
  expect(parseCancellation({ cancel: false, id: 'x' })).toBeUndefined();
  expect(parseCancellation({ cancel: true })).toEqual({ id: undefined });
  for (const name of ['_local_id', 'replication_id', 'id'])
    expect(parseCancellation({ cancel: true, [name]: 'x' })).toEqual({ id: 'x' });
  expect(() => parseCancellation({ cancel: true, id: 5 })).toThrow(InvalidReplication);
  expect(() => parseCancellation({ cancel: 'yes' })).toThrow(InvalidReplication);
});
