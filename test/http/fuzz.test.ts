import { METHODS } from 'node:http';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../system/support/wait.js';
import { startApp, type TestApp } from './app.js';
import { Wire } from './wire.js';

/** The soak asks for more. */
const RUNS = Number(process.env.FUZZ_RUNS ?? 2000);

let it: TestApp;
beforeAll(async () => {
  // Feeds end at once, bodies that are too large are small, and so is the patience with those that do not come.
  const limits = {
    changesTimeout: 20,
    maxHttpRequestSize: 200_000,
    maxDocumentSize: 50_000,
    progressTimeout: 1000,
  };
  it = await startApp({ limits });
});
afterAll(() => it.stop());

/** What the requests are about; they delete it now and then. */
async function prepare(): Promise<void> {
  await it.request('PUT', '/db');
  await it.request('PUT', '/a%2Fb');
  const docs = [
    { _id: 'doc', v: 1 },
    { _id: 'a/b' },
    { _id: '_design/d', views: { v: { map: 'function (doc) {}' } } },
  ];
  await it.request('POST', '/db/_bulk_docs', { json: { docs } });
  await it.request('PUT', '/db/_local/l', { json: { v: 1 } });
  await it.request('PUT', '/db/with/file', { text: 'x'.repeat(5000) });
}

const REV = '1-967a00dff5e02add41819138abb3284d';

const segment = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom('db', 'doc', 'with', 'file', 'a%2Fb', '_design', 'd', '_local', 'l', 'nope'),
  },
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      ...['_all_docs', '_changes', '_bulk_docs', '_bulk_get', '_revs_diff', '_missing_revs', '_security'],
      ...['_revs_limit', '_find', '_index', '_view', 'queries', '_design_docs', '_local_docs', '_compact'],
      ...['_ensure_full_commit', '_purge', '_purged_infos_limit', '_partition', '_shards', '_info', '_show'],
      ...[
        '_all_dbs',
        '_dbs_info',
        '_uuids',
        '_session',
        '_up',
        '_node',
        '_active_tasks',
        '_utils',
        '_replicate',
      ],
      ...['_scheduler', 'jobs', '_config', '_stats', '_membership', '_users', '_replicator', 'favicon.ico'],
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom('', '.', '..', '%00', '%2e%2e', '%', '%zz', '%ff', '+', '__proto__', '%5f'),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }).map(encodeURI_) },
);

function encodeURI_(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

const value = fc.oneof(
  fc.constantFrom(
    'true',
    'false',
    '',
    '0',
    '1',
    '-1',
    '1e9',
    '99999999999999999999',
    'null',
    '"a"',
    '[]',
    '{}',
  ),
  fc.constantFrom(
    REV,
    '0-1',
    '1-',
    '-',
    `["${REV}"]`,
    '["x"]',
    'all',
    'now',
    '0',
    'abc',
    '%00',
    '%',
    '[1,',
    'ok',
  ),
  fc.constantFrom(
    'normal',
    'longpoll',
    'continuous',
    'eventsource',
    '_doc_ids',
    '_selector',
    '_view',
    'd/x',
    '_x',
  ),
);

const parameter = fc.tuple(
  fc.constantFrom(
    ...[
      'rev',
      'revs',
      'open_revs',
      'latest',
      'conflicts',
      'meta',
      'new_edits',
      'batch',
      'atts_since',
      'attachments',
    ],
    ...[
      'startkey',
      'endkey',
      'key',
      'keys',
      'limit',
      'skip',
      'descending',
      'include_docs',
      'inclusive_end',
      'group',
    ],
    ...[
      'feed',
      'since',
      'filter',
      'style',
      'timeout',
      'doc_ids',
      'seq_interval',
      'count',
      'q',
      'n',
      'basic',
      'next',
    ],
    ...['update_seq', 'reduce', 'stale', 'partition', '', '__proto__', 'local_seq', 'deleted'],
  ),
  value,
);

const json = fc.constantFrom(
  '{}',
  '[]',
  'null',
  '5',
  '"x"',
  '{',
  '',
  '{"a":1}',
  `{"_id":"doc","_rev":"${REV}"}`,
  '{"_id":5}',
  '{"_id":"_x"}',
  '{"_rev":[]}',
  '{"_deleted":true}',
  '{"_revisions":{"start":1,"ids":["a"]},"_rev":"1-a"}',
  '{"_revisions":{"start":-1,"ids":[1]}}',
  '{"_attachments":{"a":{"data":"!!"}}}',
  '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}',
  '{"docs":[{"_id":"x"},{"_id":"__proto__"},5]}',
  `{"docs":[{"id":"doc","rev":"${REV}"},{"id":"__proto__"},{"id":null},{}]}`,
  '{"docs":[{"_id":"y","_rev":"2-b"}],"new_edits":false}',
  '{"docs":{"length":1e9}}',
  `{"doc":["${REV}"],"__proto__":["1-a"]}`,
  '{"doc":"x"}',
  '{"keys":["doc",1,null,{},"__proto__"]}',
  '{"keys":"x"}',
  '{"queries":[{"keys":["doc"]},{"limit":-1}]}',
  '{"queries":[5]}',
  '{"doc_ids":["doc"],"selector":{"$or":[{"a":{"$gt":1}}]}}',
  '{"selector":{"a":{"$elemMatch":5}},"fields":"x"}',
  '{"name":"a","password":1}',
  '{"admins":{"names":5}}',
  `${'['.repeat(5000)}${']'.repeat(5000)}`,
  `{"a":"${'x'.repeat(60_000)}"}`,
  `{"a":"${'x'.repeat(210_000)}"}`,
  '{"a":"\\ud800"}',
  '{"a":1e999}',
  '\u0000\u0001',
  `{"with":["${REV}","1-x"],"doc":[]}`,
  '{"docs":[{"id":"with","atts_since":[]},{"id":"with","rev":"1-x"}]}',
  '{"_attachments":{"a":{"data":"YWJj"},"b":{"stub":true},"c":{"follows":true}}}',
  multipart('{"_attachments":{"a":{"follows":true,"length":3}}}', 'abc'),
  multipart('{"_attachments":{"a":{"follows":true,"length":4,"encoding":"gzip"}}}', 'abc'),
  multipart('{}', 'x'.repeat(60_000)).slice(0, -3),
);

function multipart(document: string, attachment: string): string {
  return `--x\r\nContent-Type: application/json\r\n\r\n${document}\r\n--x\r\n\r\n${attachment}\r\n--x--`;
}

const header = fc.constantFrom(
  'Content-Type: application/json',
  'Content-Type: text/plain',
  'Content-Type: multipart/related; boundary=x',
  'Content-Type: application/x-www-form-urlencoded',
  'Content-Type: ;;;',
  'Content-Encoding: gzip',
  'Transfer-Encoding: chunked',
  'Accept-Encoding: gzip',
  'Range: bytes=1-2,-5',
  'Range: bytes=x',
  'Content-Encoding: br',
  'Accept: multipart/mixed',
  'Accept: text/html',
  'Accept: ,;q=x,*/*;q=',
  `If-Match: "${REV}"`,
  'If-Match: x',
  `If-None-Match: W/"${REV}", "x"`,
  'Destination: other',
  'Destination: %ff?rev=',
  'Destination: http://x/y',
  'X-HTTP-Method-Override: DELETE',
  'X-HTTP-Method-Override: COPY',
  'X-Couch-Request-ID: ok-1',
  'X-CouchDB-WWW-Authenticate: Basic',
  'Origin: http://x',
  'Last-Event-ID: 5-x',
  'Referer: http://x/',
  'Expect: 100-continue',
  'Connection: Upgrade\r\nUpgrade: websocket',
  'Cookie: AuthSession=x',
);

/** Mostly something of the database that there is. */
const path = fc.oneof(
  { weight: 4, arbitrary: fc.array(segment, { maxLength: 2 }).map((rest) => ['db', ...rest]) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ['db', 'doc'],
      ['db', '_bulk_docs'],
      ['db', '_design', 'd'],
      ['db', '_local', 'l'],
      ['db', 'with', 'file'],
      ['db', 'with'],
      ['db', '_purge'],
      ['db', '_bulk_get'],
    ),
  },
  { weight: 1, arbitrary: fc.array(segment, { maxLength: 5 }) },
);

const request = fc
  .record({
    method: fc.oneof(
      {
        weight: 9,
        arbitrary: fc.constantFrom('GET', 'PUT', 'POST', 'POST', 'POST', 'DELETE', 'COPY', 'HEAD'),
      },
      { weight: 1, arbitrary: fc.constantFrom(...METHODS) },
    ),
    path,
    query: fc.array(parameter, { maxLength: 3 }),
    headers: fc.array(header, { maxLength: 3 }),
    user: fc.constantFrom('admin', 'admin', 'admin', 'admin', 'admin', 'admin', 'member', 'nobody'),
    body: json,
  })
  .filter(({ method }) => method !== 'CONNECT')
  .map(({ method, path, query, headers, user, body }) => {
    const search = query
      .map(([key, text]) => `${key}=${text.replace(/[ "]/g, encodeURIComponent)}`)
      .join('&');
    const target = `/${path.join('/')}${search === '' ? '' : `?${search}`}`;
    const types = headers.some((line) => line.startsWith('Content-'))
      ? headers
      : ['Content-Type: application/json', ...headers];
    const lines = [
      'Host: x',
      `X-Test-User: ${user}`,
      'Connection: close',
      `Content-Length: ${String(Buffer.byteLength(body))}`,
    ];
    return `${method} ${target} HTTP/1.1\r\n${[...lines, ...types].join('\r\n')}\r\n\r\n${body}`;
  });

/** What may come back: nothing, or an answer that is no failure of the server. */
function judge(answer: string, head: boolean): void {
  const final = answer.replace(/^(HTTP\/1\.1 100 Continue\r\n\r\n)+/, '');
  if (final === '') return;
  const [, status = ''] = /^HTTP\/1\.1 ([0-9]{3}) /.exec(final) ?? [];
  expect(status).toMatch(/^([234]..|501)$/);
  const [top = '', ...rest] = final.split('\r\n\r\n');
  if (Number(status) < 400 || head || !top.includes('application/json')) return;
  expect(JSON.parse(rest.join('\r\n\r\n'))).toEqual({
    error: expect.any(String) as string,
    reason: expect.any(String) as string,
  });
}

async function isAlive(): Promise<void> {
  expect((await it.request('GET', '/_up')).status).toBe(200);
  expect(it.errors).toEqual([]);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
}

test('no request makes the server fail', async () => {
  let count = 0;
  await fc.assert(
    fc.asyncProperty(request, async (bytes) => {
      if (count++ % 50 === 0) await prepare();
      judge(await it.raw(bytes), bytes.startsWith('HEAD'));
    }),
    { numRuns: RUNS },
  );
  await isAlive();
}, 600_000);

test('no bytes make the server fail', async () => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
    fc
      .constantFrom('\r\n', '\n', '\0', ':', 'Transfer-Encoding: chunked\r\n', '\r\n\r\n', 'HTTP/1.1')
      .map((text) => Buffer.from(text)),
  );
  await fc.assert(
    fc.asyncProperty(request, noise, fc.nat(400), fc.nat(3), async (text, bytes, at, cut) => {
      const whole = Buffer.from(text);
      const place = at % (whole.length + 1);
      const mangled = Buffer.concat([whole.subarray(0, place), bytes, whole.subarray(place + cut)]);
      judge(await it.raw(mangled, 25), true);
    }),
    { numRuns: RUNS },
  );
  await isAlive();
}, 600_000);

/** How a client that does not send its request at once goes on. */
const manner = fc.record({
  /** Of what it is going to send, in thousandths. */
  first: fc.nat(1000),
  second: fc.nat(1000),
  end: fc.constantFrom('all', 'all', 'cut', 'cut', 'end', 'stall'),
  reads: fc.boolean(),
});

test('no client that is slow, or leaves, makes the server fail or keeps anything of it', async () => {
  const wires: Wire[] = [];
  await fc.assert(
    fc.asyncProperty(request, manner, async (text, { first, second, end, reads }) => {
      const bytes = Buffer.from(text);
      const [from, to] = [first, second]
        .sort((a, b) => a - b)
        .map((part) => Math.round((part * bytes.length) / 1000));
      const wire = await Wire.open(it.port);
      if (!reads) wire.pause();
      await wire.send(bytes.subarray(0, from));
      await new Promise((resolve) => setImmediate(resolve));
      await wire.send(bytes.subarray(from, to));
      if (end === 'cut') wire.cut();
      else if (end === 'end') wire.end();
      else if (end === 'all') await wire.send(bytes.subarray(to));
      wires.push(wire);
      if (wires.length > 100) wires.shift()?.cut();
    }),
    { numRuns: RUNS },
  );
  // Those that only wait are given up by the server; those that do not read have to be cut off.
  for (const wire of wires) wire.cut();
  await until('no connection is open', async () => (await connections()) === 0);
  await prepare();
  await it.databases.use('db', (db) => expect(db.events.size).toBe(0));
  await isAlive();
}, 600_000);

function connections(): Promise<number> {
  return new Promise((resolve, reject) => {
    it.app.server.getConnections((error, open) => {
      if (error === null) resolve(open);
      else reject(error);
    });
  });
}
