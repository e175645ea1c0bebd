import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { routeTable } from '../../src/http/app.js';
import type { LevelDatabase } from '../../src/store/level-database.js';
import { type Answer, type RequestOptions, startApp, type TestApp } from './app.js';
import { pathOf } from './route-paths.js';

/** Every write says what it is by its document's member `is`; a document with an attachment, by the name of that. */
const RULE = `function (newDoc, oldDoc, userCtx, secObj) {
  var names = Object.keys(newDoc._attachments || {});
  var isBad = newDoc.is === 'bad' || names.indexOf('bad') >= 0 || (newDoc._deleted && oldDoc && oldDoc.is === 'kept');
  if (isBad) throw({ forbidden: userCtx.name + ' may not' });
}`;

let app: TestApp;
let db: string;
let count = 0;

beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());
beforeEach(async () => {
  db = `/validated-${String(++count)}`;
  await app.request('PUT', db);
});

const request = (method: string, path: string, options?: RequestOptions): Promise<Answer> =>
  app.request(method, db + path, options);

const ruleWith = (source: string, name = 'rule', more: object = {}): Promise<Answer> =>
  request('PUT', `/_design/${name}`, { json: { ...more, validate_doc_update: source } });

const revOf = ({ body }: Answer): string => (body as { rev: string }).rev;

/** Whether a document is there as it was to be written. */
type Found = 'written' | 'not there' | 'as before';

async function found(id: string): Promise<Found> {
  const { status, body } = await request('GET', `/${id}`);
  if (status === 404) return 'not there';
  return (body as { is?: string }).is === 'before' || (body as { is?: string }).is === 'kept'
    ? 'as before'
    : 'written';
}

const form = (parts: Record<string, string>, file: string): RequestOptions => {
  const fields = Object.entries(parts).map(
    ([name, text]) => `--x\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${text}\r\n`,
  );
  const attachment = `--x\r\nContent-Disposition: form-data; name="_attachments"; filename="${file}"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--\r\n`;
  return {
    headers: {
      'content-type': 'multipart/form-data; boundary=x',
      referer: `http://127.0.0.1:${String(app.port)}/`,
      host: `127.0.0.1:${String(app.port)}`,
    },
    text: fields.join('') + attachment,
  };
};

const related = (document: object): RequestOptions => ({
  headers: { 'content-type': 'multipart/related; boundary=x' },
  text: `--x\r\nContent-Type: application/json\r\n\r\n${JSON.stringify(document)}\r\n--x\r\n\r\nhello\r\n--x--`,
});

const follows = { content_type: 'text/plain', follows: true, length: 5 };
const REPLICATED = `3-${'a'.repeat(32)}`;

/** A way to write the document `it`. */
interface Write {
  readonly route: string;
  readonly way: string;
  /** What is there before; nothing where it is left out. */
  readonly before?: object;
  /** @param word `good` or `bad`. @param rev of what is there */
  readonly send: (word: string, rev: string) => Promise<Answer>;
}

const WRITES: readonly Write[] = [
  { route: 'PUT /:db/:docid', way: 'PUT', send: (is) => request('PUT', '/it', { json: { is } }) },
  {
    route: 'PUT /:db/:docid',
    way: 'PUT of a change',
    before: { is: 'before' },
    send: (is, rev) => request('PUT', `/it?rev=${rev}`, { json: { is } }),
  },
  {
    route: 'PUT /:db/:docid',
    way: 'PUT with new_edits=false',
    send: (is) => request('PUT', '/it?new_edits=false', { json: { is, _rev: REPLICATED } }),
  },
  {
    route: 'PUT /:db/:docid',
    way: 'PUT with batch=ok',
    send: (is) => request('PUT', '/it?batch=ok', { json: { is } }),
  },
  {
    route: 'PUT /:db/:docid',
    way: 'PUT of a multipart body',
    send: (word) => request('PUT', '/it', related({ _attachments: { [word]: follows } })),
  },
  {
    route: 'PUT /:db/:docid',
    way: 'PUT of a multipart body with new_edits=false',
    send: (word) =>
      request(
        'PUT',
        '/it?new_edits=false',
        related({ _rev: REPLICATED, _attachments: { [word]: { ...follows, revpos: 1 } } }),
      ),
  },
  {
    route: 'PUT /:db/:docid',
    way: 'PUT with an attachment in it',
    send: (word) => request('PUT', '/it', { json: { _attachments: { [word]: { data: 'AAEC' } } } }),
  },
  { route: 'POST /:db', way: 'POST', send: (is) => request('POST', '', { json: { _id: 'it', is } }) },
  {
    route: 'POST /:db',
    way: 'POST with batch=ok',
    send: (is) => request('POST', '?batch=ok', { json: { _id: 'it', is } }),
  },
  {
    route: 'DELETE /:db/:docid',
    way: 'DELETE',
    before: { is: 'kept' },
    send: async (word, rev) => {
      if (word === 'bad') return request('DELETE', `/it?rev=${rev}`);
      const changed = await request('PUT', `/it?rev=${rev}`, { json: { is: 'free' } });
      return request('DELETE', `/it?rev=${revOf(changed)}`);
    },
  },
  {
    route: 'COPY /:db/:docid',
    way: 'COPY',
    send: (word) => request('COPY', `/${word}-source`, { headers: { destination: 'it' } }),
  },
  {
    route: 'COPY /:db/_local/:name',
    way: 'COPY of a local document',
    send: async (is) => {
      await request('PUT', '/_local/source', { json: { is } });
      return request('COPY', '/_local/source', { headers: { destination: 'it' } });
    },
  },
  {
    route: 'COPY /:db/_design/:name',
    way: 'COPY of a design document',
    send: async (is) => {
      await request('PUT', `/_design/${is}-source`, { json: { is } });
      return request('COPY', `/_design/${is}-source`, { headers: { destination: 'it' } });
    },
  },
  {
    route: 'DELETE /:db/:docid/*',
    way: 'DELETE of an attachment',
    before: { is: 'before', _attachments: { one: { data: 'AAEC' } } },
    send: async (word, rev) => {
      if (word === 'good') return request('DELETE', `/it/one?rev=${rev}`);
      await ruleWith(
        'function (n) { if (!n._attachments) throw({ forbidden: "admin may not" }); }',
        'another',
      );
      return request('DELETE', `/it/one?rev=${rev}`);
    },
  },
  {
    route: 'POST /:db/:docid',
    way: 'a form',
    send: (word) => request('POST', '/it', form({ _doc: '{}' }, word)),
  },
  {
    route: 'POST /:db/:docid',
    way: 'a form about a revision',
    before: { is: 'before' },
    send: (word, rev) => request('POST', '/it', form({ _rev: rev }, word)),
  },
  {
    route: 'PUT /:db/:docid/*',
    way: 'PUT of an attachment',
    send: (word) =>
      request('PUT', `/it/${word}`, { text: 'hello', headers: { 'content-type': 'text/plain' } }),
  },
  {
    route: 'PUT /:db/:docid/*',
    way: 'PUT of an attachment of a document',
    before: { is: 'before' },
    send: (word, rev) =>
      request('PUT', `/it/${word}?rev=${rev}`, { text: 'hello', headers: { 'content-type': 'text/plain' } }),
  },
  {
    route: 'POST /:db/_bulk_docs',
    way: '_bulk_docs',
    send: (is) => request('POST', '/_bulk_docs', { json: { docs: [{ _id: 'it', is }] } }),
  },
  {
    route: 'POST /:db/_bulk_docs',
    way: '_bulk_docs with new_edits=false',
    send: (is) =>
      request('POST', '/_bulk_docs', {
        json: { new_edits: false, docs: [{ _id: 'it', _rev: REPLICATED, is }] },
      }),
  },
  {
    route: '* /:db/_design/:name/_update/*',
    way: 'an update function',
    send: async (is) => {
      await design(WRITERS);
      return request('POST', '/_design/writers/_update/write', { json: { is } });
    },
  },
  {
    route: '* /:db/_design/:name/_rewrite/*',
    way: 'a rewritten PUT',
    send: async (is) => {
      await design(WRITERS);
      return request('PUT', '/_design/writers/_rewrite/there', { json: { is } });
    },
  },
];

const WRITERS = {
  updates: {
    write: 'function (doc, req) { return [{ _id: "it", is: JSON.parse(req.body).is }, "{}"]; }',
  },
  rewrites: [{ from: 'there', to: '../../it', method: 'PUT' }],
};

/** Makes a design document of which others make use; it may be there. */
const design = (members: object): Promise<Answer> => request('PUT', '/_design/writers', { json: members });

/** Routes by which no document is written that functions judge. */
const OTHERS: Readonly<Record<string, readonly string[]>> = {
  'databases and what is set of them': [
    'PUT /:db',
    'DELETE /:db',
    'PUT /:db/_security',
    'PUT /:db/_revs_limit',
    'PUT /:db/_purged_infos_limit',
    'POST /:db/_ensure_full_commit',
    'POST /:db/_compact',
    'POST /:db/_compact/:name',
    'POST /:db/_view_cleanup',
    'POST /:db/_sync_shards',
    'POST /:db/_purge',
  ],
  'design documents, which are for admins': [
    'PUT /:db/_design/:name',
    'DELETE /:db/_design/:name',
    'POST /:db/_design/:name',
    'PUT /:db/_design/:name/*',
    'DELETE /:db/_design/:name/*',
    'POST /:db/_index',
    'POST /:db/_index/_bulk_delete',
    'DELETE /:db/_index/:name/*',
  ],
  'local documents': ['PUT /:db/_local/:name', 'DELETE /:db/_local/:name', 'POST /:db/_local/:name'],
  reading: [
    'POST /:db/_bulk_get',
    'POST /:db/_all_docs',
    'POST /:db/_all_docs/queries',
    'POST /:db/_design_docs',
    'POST /:db/_design_docs/queries',
    'POST /:db/_local_docs',
    'POST /:db/_local_docs/queries',
    'POST /:db/_revs_diff',
    'POST /:db/_missing_revs',
    'POST /:db/_changes',
    'POST /:db/_design/:name/_view/:function',
    'POST /:db/_design/:name/_view/:function/queries',
    ...['', '/:function', '/:function/:design/:view/*'].map((more) => `POST /:db/_design/:name/_list${more}`),
    ...['/:view', '/_all_docs', '/:design/:view', '/:design/_all_docs'].map(
      (more) => `POST /:db/_design/:name/_list/:function${more}`,
    ),
    'POST /:db/_find',
    'POST /:db/_explain',
  ],
};

describe('what a validation function refuses is not written, and the rest is', () => {
  test.each(WRITES)('by $way', async ({ send, before }) => {
    await request('PUT', '/good-source', { json: { is: 'good' } });
    await request('PUT', '/bad-source', { json: { is: 'bad' } });
    await ruleWith(RULE);
    const rev = before === undefined ? '' : revOf(await request('PUT', '/it', { json: before }));

    const refused = await send('bad', rev);
    const expected = before === undefined ? 'not there' : 'as before';
    if (refused.status === 202) {
      // Nobody is told of it: it is seen by what is written behind it.
      await request('PUT', '/later', { json: {} });
    } else if (refused.status === 201) {
      expect(refused.body).toMatchObject([{ id: 'it', error: 'forbidden', reason: 'admin may not' }]);
    } else {
      expect(refused).toMatchObject({ status: 403, body: { error: 'forbidden', reason: 'admin may not' } });
    }
    expect(await found('it')).toBe(expected);

    await request('DELETE', `/_design/another?rev=${await revisionOf('_design/another')}`);
    const accepted = await send('good', rev);
    expect([200, 201, 202]).toContain(accepted.status);
    expect(accepted.text).not.toContain('error');
    await expect.poll(async () => (await revisionOf('it')) !== rev, { timeout: 30_000 }).toBe(true);
  });

  test('by every route that changes something, or by none', async () => {
    const changing = routeTable(app.app).filter(
      ({ method, path }) => path.startsWith('/:db') && !['GET', 'HEAD', '*'].includes(method),
    );
    const known = new Set([...WRITES.map(({ route }) => route), ...Object.values(OTHERS).flat()]);
    const unknown = changing.filter(({ method, path }) => !known.has(`${method} ${path}`));
    await request('PUT', '/_design/some', { json: {} });
    // What is not there yet cannot be tried.
    for (const { method, path } of unknown) {
      const { status } = await app.request(method, pathOf(path, db.slice(1)), { json: {} });
      expect(`${method} ${path}: ${String(status)}`).toMatch(/: 501$/);
    }
  });
});

async function revisionOf(id: string): Promise<string | undefined> {
  const { body } = await request('GET', `/${id}?deleted=true`);
  return (body as { _rev?: string })._rev;
}

/** What a function that refuses everything saw: its parameters. */
async function seen(sent: Promise<Answer>): Promise<readonly unknown[]> {
  const { status, body } = await sent;
  expect({ status, body }).toMatchObject({ status: 403, body: { error: 'forbidden' } });
  return JSON.parse((body as { reason: string }).reason) as unknown[];
}

const TELL =
  'function (newDoc, oldDoc, userCtx, secObj) { throw({ forbidden: JSON.stringify([newDoc, oldDoc, userCtx, secObj]) }); }';

describe('a validation function sees', () => {
  test('who writes, and the security object as it is', async () => {
    const security = '{"members":{"roles":[],"names":[]},"own":[1.0,"x"]}';
    await request('PUT', '/_security', { text: security, headers: { 'content-type': 'application/json' } });
    await ruleWith(TELL);
    const own = { members: { roles: [], names: [] }, own: [1, 'x'] };
    for (const [as, name, roles] of [
      ['admin', 'admin', ['_admin']],
      ['stranger', 'stranger', ['other']],
      [null, null, []],
    ] as const) {
      const all = await seen(request('PUT', '/it', { as, json: {} }));
      expect(all).toEqual([{ _id: 'it' }, null, { db: db.slice(1), name, roles }, own]);
    }
  });

  test('attachments of both documents as stubs', async () => {
    const text = { content_type: 'text/plain', data: Buffer.from('hello'.repeat(50)).toString('base64') };
    const json = { _attachments: { 'b.txt': text, 'a.bin': { data: 'AAEC' } } };
    const rev = revOf(await request('PUT', '/it', { json }));
    const shown = (await request('GET', '/it')).body as { _attachments: Record<string, object> };
    await ruleWith(TELL);
    const kept = { stub: true, digest: 'md5-none', content_type: 'text/other', length: 1 };
    const given = { _rev: rev, _attachments: { 'b.txt': kept, new: { data: 'AAEC', revpos: 7 } } };
    const [newDoc, oldDoc] = (await seen(request('PUT', '/it', { json: given }))) as [object, object];
    const _revisions = { start: 1, ids: [rev.slice(2)] };
    expect(oldDoc).toEqual({ ...shown, _revisions });
    const { digest, length } = shown._attachments['a.bin'] as { digest: string; length: number };
    const added = { content_type: 'application/octet-stream', revpos: 0, digest, length, stub: true };
    const _attachments = { 'b.txt': shown._attachments['b.txt'], new: added };
    expect(newDoc).toEqual({ _id: 'it', _rev: rev, _revisions, _attachments });

    const put = { text: 'plain', headers: { 'content-type': 'application/octet-stream' } };
    const [byPath] = (await seen(request('PUT', `/it/a.bin?rev=${rev}`, put))) as [typeof shown];
    expect(byPath._attachments).toMatchObject({
      'b.txt': shown._attachments['b.txt'],
      'a.bin': { length: 5 },
    });
    const [without] = (await seen(request('DELETE', `/it/a.bin?rev=${rev}`))) as [typeof shown];
    expect(without._attachments).toEqual({ 'b.txt': shown._attachments['b.txt'] });
    const [copy] = await seen(request('COPY', '/it', { headers: { destination: 'copy' } }));
    expect(copy).toEqual({ _id: 'copy', _attachments: shown._attachments });
  });

  test('members of any name', async () => {
    await ruleWith(TELL);
    const text = '{"in":{"__proto__":{"a":1},"constructor":2,"é😀":"\u2028"}}';
    const { body } = await request('PUT', '/it', { text, headers: { 'content-type': 'application/json' } });
    expect((body as { reason: string }).reason).toContain(`[{"_id":"it",${text.slice(1)},null,`);
  });
});

describe('validation functions', () => {
  test('judge no design document and no local one', async () => {
    await ruleWith('function () { throw({ forbidden: "nothing" }); }');
    expect((await request('PUT', '/_design/other', { json: {} })).status).toBe(201);
    expect((await request('PUT', '/_local/x', { json: {} })).status).toBe(201);
    const docs = [{ _id: '_design/third' }, { _id: '_local/y' }, { _id: 'x' }];
    const { body } = await request('POST', '/_bulk_docs', { json: { docs } });
    expect(body).toMatchObject([
      { ok: true },
      { ok: true },
      { id: 'x', error: 'forbidden', reason: 'nothing' },
    ]);
  });

  test('must all agree, and the first in the order of their ids that does not is heard', async () => {
    for (const name of ['b', 'c', 'a']) {
      await ruleWith(`function (n) { if (n.bad >= '${name}') throw({ forbidden: '${name}' }); }`, name);
    }
    const docs = ['0', 'a', 'b', 'c'].map((bad) => ({ _id: bad, bad }));
    docs.push({ _id: 'ab', bad: 'b' });
    const { body } = await request('POST', '/_bulk_docs', { json: { docs } });
    expect(body).toMatchObject([
      { ok: true },
      { reason: 'a' },
      { reason: 'a' },
      { reason: 'a' },
      { reason: 'a' },
    ]);
    await request('DELETE', `/_design/a?rev=${String(await revisionOf('_design/a'))}`);
    expect((await request('PUT', '/x', { json: { bad: 'c' } })).body).toMatchObject({ reason: 'b' });
  });

  test.each([
    ['does not compile', 'function (', 'compilation_error'],
    ['is none', '5', 'compilation_error'],
    ['crashes', 'function (n) { if (n._id !== "good") n.a.b.c; }', 'TypeError'],
  ])('one that %s refuses what it is asked about, and says why', async (_, source, error) => {
    expect((await ruleWith(source)).status).toBe(201);
    const put = await request('PUT', '/x', { json: {} });
    expect(put).toMatchObject({ status: 500, body: { error } });
    const docs = [{ _id: 'y' }, { _id: 'good' }, { _id: '_design/z' }];
    const { status, body } = await request('POST', '/_bulk_docs', { json: { docs } });
    expect({ status, body }).toMatchObject({
      status: 201,
      body: [{ id: 'y', error }, { id: 'good' }, { ok: true }],
    });
    expect(await found('good')).toBe(error === 'TypeError' ? 'written' : 'not there');
    expect(await found('y')).toBe('not there');
    app.errors.length = 0;
  });

  test('are not asked about a batch in which an attachment is missing', async () => {
    await ruleWith(RULE);
    const docs = [
      { _id: 'x', is: 'bad' },
      { _id: 'y', _attachments: { none: { stub: true } } },
      { _id: 'z' },
    ];
    const { status, body } = await request('POST', '/_bulk_docs', { json: { docs } });
    expect({ status, body }).toMatchObject({ status: 412, body: { error: 'missing_stub' } });
    expect(await found('z')).toBe('not there');
  });

  test.each([
    ['small', 1000],
    ['large', 6 << 20],
  ])('let go of %s attachments of what they refuse', async (_, length) => {
    await ruleWith(RULE);
    const headers = { 'content-type': 'application/octet-stream' };
    const text = Buffer.alloc(length, 'x');
    expect((await request('PUT', '/it/bad', { text, headers })).status).toBe(403);
    const { stored } = await app.databases.use(
      db.slice(1),
      (open) => (open as unknown as Pick<LevelDatabase, 'weight'>).weight,
    );
    expect(stored).toBeLessThan(1000);
    // The same bytes again, which nothing was left of.
    expect((await request('PUT', '/it/good', { text, headers })).status).toBe(201);
    expect((await request('GET', '/it/good')).bytes.equals(text)).toBe(true);
  });

  test('of the database of the users judge as well', async () => {
    await app.request('PUT', '/_users');
    const user = (name: string): Promise<Answer> => {
      const json = { name, type: 'user', roles: [], password: 'pw' };
      return app.request('PUT', `/_users/org.couchdb.user:${name}`, { as: 'admin', json });
    };
    const source = 'function (n) { if (n.password || n.name === "bad") throw({ forbidden: "not here" }); }';
    const rule = await app.request('PUT', '/_users/_design/own', { json: { validate_doc_update: source } });
    expect(rule.status).toBe(201);
    expect(await user('bad')).toMatchObject({ status: 403, body: { reason: 'not here' } });
    expect((await user('good')).status).toBe(201);
  });
});

/** Takes its time, and lets everything pass. */
const SLOW = 'function () { var end = Date.now() + 50; while (Date.now() < end); }';

describe('a rule that is acknowledged', () => {
  test('holds for what was judged by the one before it, and is not written yet', async () => {
    const rule = await ruleWith(SLOW);
    const docs = [{ _id: 'a' }, { _id: 'b', type: 'x' }];
    const revised = docs.map(({ _id, ...doc }) => ({ ...doc, _id: `r${_id}`, _rev: REPLICATED }));
    const writes = [
      request('PUT', '/one', { json: {} }),
      request('POST', '/_bulk_docs', { json: { docs } }),
      request('POST', '/_bulk_docs', { json: { docs: revised, new_edits: false } }),
    ];
    const strict = await ruleWith('function (n) { if (!n.type) throw({ forbidden: "type" }); }', 'rule', {
      _rev: revOf(rule),
    });
    expect(strict.status).toBe(201);
    const [one, some, replicated] = await Promise.all(writes);
    expect(one).toMatchObject({ status: 403, body: { reason: 'type' } });
    expect(some?.body).toMatchObject([
      { id: 'a', reason: 'type' },
      { id: 'b', ok: true },
    ]);
    expect(replicated?.body).toMatchObject([{ id: 'ra', reason: 'type' }]);
    expect(await Promise.all(['a', 'ra', 'b', 'rb'].map(found))).toEqual([
      'not there',
      'not there',
      'written',
      'written',
    ]);
  });

  test('holds for everything that is written from then on, whoever else is writing', async () => {
    let isRuled = false;
    let acknowledged = 0;
    const after: Answer[] = [];
    const broken: string[] = [];
    const writer = async (at: number): Promise<void> => {
      for (let n = 0; acknowledged < 40 && n < 2000; n++) {
        const since = isRuled;
        const id = `w${String(at)}-${String(n)}`;
        const docs = [{ _id: id }, { _id: `${id}-b` }];
        const single = at % 2 === 0;
        const answer = single
          ? await request('PUT', `/${id}`, { json: {} })
          : await request('POST', '/_bulk_docs', { json: { docs } });
        if (!since) continue;
        acknowledged++;
        after.push(answer);
        if (answer.text.includes('"ok":true')) broken.push(answer.text);
      }
    };
    const writers = Array.from({ length: 16 }, (_, at) => writer(at));
    await expect
      .poll(async () => (await request('GET', '')).text, { timeout: 30_000 })
      .toMatch(/"doc_count":[0-9]{3}/);
    const rule = await ruleWith('function (n) { if (!n.type) throw({ forbidden: "type" }); }');
    const { update_seq: seq } = (await request('GET', '')).body as { update_seq: string };
    isRuled = true;
    await Promise.all(writers);
    expect(rule.status).toBe(201);
    expect(after.length).toBeGreaterThanOrEqual(40);
    expect(broken).toEqual([]);
    // Whatever was under way when the rule came is judged by it, too: nothing stands behind it in the feed.
    const { body } = await request('GET', `/_changes?since=${seq}`);
    expect((body as { results: unknown[] }).results).toEqual([]);
  });
});
