import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from '../../http/app.js';
import { digestOf } from '../../support/attachments.js';
import { clash, nodeOf } from './support.js';

const SECURITY = { admins: { names: ['dbadmin'] }, members: { names: ['member'] } };

let app: TestApp;
let id = '';
let made = 0;
beforeAll(async () => {
  app = await startApp();
  await app.request('PUT', '/db');
  await app.request('PUT', '/db/_security', { json: SECURITY });
});
beforeEach(() => {
  id = `doc/${made++}`;
});
afterAll(() => app.stop());

const encoded = (): string => encodeURIComponent(id);
const place = (more = ''): string => `/_gateway/databases/db/conflicts/${encoded()}${more}`;

interface Shown {
  readonly state: string | null;
  readonly journal: readonly number[];
  readonly base: string | null;
  readonly bases: readonly object[];
  readonly leaves: readonly {
    readonly rev: string;
    readonly body: string;
    readonly base: string | null;
    readonly against: string | null;
    readonly differences: readonly object[] | null;
    readonly doc: object | null;
  }[];
  readonly tree: readonly { readonly rev: string; readonly state: string; readonly kind: string }[];
}

async function show(): Promise<Shown> {
  const { status, body, text } = await app.request('GET', place());
  expect(status, text).toBe(200);
  return body as Shown;
}

const resolve = (json: object, as = 'member'): ReturnType<TestApp['request']> =>
  app.request('POST', place('/resolve'), { json, as });

const [base, a, b] = [nodeOf('base', 1), nodeOf('a'), nodeOf('b')];

describe('a document in conflict', () => {
  test('is shown with its tree, its leaves, and what each of them changed', async () => {
    const before = { n: 1, gone: true, list: [1, 2], deep: { x: 1 } };
    const left = { ...before, n: 2, list: [1, 2, 3] };
    const right = { n: 1, list: [2], deep: { x: null, y: 'é' } };
    await clash(app, 'db', id, { a: left, b: right }, before);
    const { leaves, ...shown } = await show();
    expect(shown).toMatchObject({
      id,
      winner: b,
      state: 'kept',
      base,
      bases: [{ rev: base, doc: { _id: id, _rev: base, ...before } }],
      deleted: [],
      tree: [
        { rev: base, state: 'available', kind: 'edit', parent: null, absorbed: [] },
        { rev: a, state: 'leaf', kind: 'edit', parent: base, absorbed: [] },
        { rev: b, state: 'leaf', kind: 'edit', parent: base, absorbed: [] },
      ],
      tree_omitted: 0,
      journal: [],
    });
    expect(leaves).toEqual([
      {
        rev: b,
        body: 'available',
        base,
        against: base,
        differences: [
          { kind: 'removed', path: '/list/0', from: 1 },
          { kind: 'changed', path: '/deep/x', from: 1, to: null },
          { kind: 'added', path: '/deep/y', to: 'é' },
          { kind: 'removed', path: '/gone', from: true },
        ],
        differences_cut: false,
        doc: { _id: id, _rev: b, ...right },
      },
      {
        rev: a,
        body: 'available',
        base,
        against: base,
        differences: [
          { kind: 'changed', path: '/n', from: 1, to: 2 },
          { kind: 'added', path: '/list/2', to: 3 },
        ],
        differences_cut: false,
        doc: { _id: id, _rev: a, ...left },
      },
    ]);
  });

  test('keeps the digits of its numbers, and counts those as equal that are', async () => {
    const docs = [
      `{"_id":"${id}","_rev":"${base}","n":1.0,"big":12345678901234567890}`,
      `{"_id":"${id}","_revisions":{"start":2,"ids":["${a.slice(2)}","${base.slice(2)}"]},"n":1,"big":12345678901234567891}`,
      `{"_id":"${id}","_revisions":{"start":2,"ids":["${b.slice(2)}","${base.slice(2)}"]},"n":10e-1,"big":12345678901234567890}`,
    ];
    const text = `{"new_edits":false,"docs":[${docs.join(',')}]}`;
    await app.request('POST', '/db/_bulk_docs', { text, headers: { 'content-type': 'application/json' } });
    const { text: shown } = await app.request('GET', place());
    expect(shown).toContain('"path":"/big","from":12345678901234567890,"to":12345678901234567891');
    expect((JSON.parse(shown) as Shown).leaves.map(({ differences }) => differences?.length)).toEqual([0, 1]);
  });

  test('is compared with the winner where the body of the base is not here', async () => {
    await clash(app, 'db', id, { a: { n: 1 }, b: { n: 2 } });
    await app.databases.use('db', (db) => db.compact());
    const { leaves, tree, bases } = await show();
    expect(tree[0]).toMatchObject({ rev: base, state: 'missing' });
    expect(bases).toEqual([{ rev: base, doc: null }]);
    expect(leaves).toMatchObject([
      { rev: b, base, against: null, differences: null },
      { rev: a, base, against: b, differences: [{ kind: 'changed', path: '/n', from: 2, to: 1 }] },
    ]);
  });

  test('names attachments that differ by their digests', async () => {
    await clash(app, 'db', id);
    const type = { 'content-type': 'text/plain' };
    const put = (rev: string, bytes: string): ReturnType<TestApp['request']> =>
      app.request('PUT', `/db/${encoded()}/f?rev=${rev}`, { text: bytes, headers: type });
    const { body: left } = await put(a, 'left');
    await put(b, 'right');
    const { leaves } = await show();
    const leaf = leaves.find(({ rev }) => rev === (left as { rev: string }).rev);
    expect(leaf?.differences).toContainEqual({
      kind: 'added',
      path: '/_attachments/f',
      to: { content_type: 'text/plain', digest: digestOf(Buffer.from('left')), length: 4 },
    });
  });

  test('names so many differences, and says that there are more', async () => {
    const many = Object.fromEntries(Array.from({ length: 1001 }, (_, at) => [`m${at}`, at]));
    await clash(app, 'db', id, { a: {}, b: many }, {});
    const { leaves } = await show();
    expect(leaves[0]).toMatchObject({ rev: b, differences_cut: true });
    expect(leaves[0]?.differences).toHaveLength(1000);
  });

  test('leaves out bodies for which there is no room, and says so', async () => {
    const large = { text: 'x'.repeat(5_000_000) };
    await clash(app, 'db', id, { a: large, b: large }, {});
    const { leaves, base: of } = await show();
    expect(of).toBe(base);
    expect(leaves.map(({ rev, body, doc }) => [rev, body, doc !== null])).toEqual([
      [b, 'available', true],
      [a, 'too_large', false],
    ]);
  });

  test('is not there where there is no such document, and has no state in no conflict', async () => {
    expect((await app.request('GET', place())).status).toBe(404);
    await app.request('PUT', `/db/${encoded()}`, { json: {} });
    expect(await show()).toMatchObject({ state: null, leaves: [{ base: null, differences: null }] });
  });
});

describe('a conflict is resolved', () => {
  beforeEach(async () => {
    await clash(app, 'db', id);
  });

  test('with a leaf, by a member, whose name the journal has', async () => {
    const { status, body } = await resolve({ leaf: a, ifLeaves: [a, b] });
    expect([status, body]).toMatchObject([201, { ok: true, id }]);
    const { rev, journal } = body as { rev: string; journal: number };
    expect((await app.request('GET', `/db/${encoded()}?conflicts=true`)).body).toEqual({
      _id: id,
      _rev: rev,
      n: 1,
    });
    const shown = await show();
    expect(shown).toMatchObject({ state: null, journal: [journal] });
    expect(shown.tree.map(({ state, kind }) => `${state} ${kind}`)).toEqual([
      'available edit',
      'available edit',
      'available edit',
      'leaf merged',
      'deleted tombstone',
    ]);
    expect(shown.tree[3]).toMatchObject({ rev, absorbed: [a] });
  });

  test('with a body, whose numbers stay as they are written, and attachments of leaves', async () => {
    const type = { 'content-type': 'text/plain' };
    const file = await app.request('PUT', `/db/${encoded()}/f?rev=${a}`, { text: 'left', headers: type });
    const { rev } = file.body as { rev: string };
    const { body: leaf } = await app.request('GET', `/db/${encoded()}?rev=${rev}`);
    // What is compressed has another digest there than in what is shown of a conflict.
    const { digest } = (leaf as { _attachments: { f: { digest: string } } })._attachments.f;
    const plain = digestOf(Buffer.from('left'));
    expect(digest).not.toBe(plain);
    const attached = `"f":{"digest":"${digest}"},"g":{"stub":true,"digest":"${plain}","content_type":"a/b"}`;
    const doc = `{"_id":"other","n":1.0,"_attachments":{${attached}}}`;
    const { status, text } = await app.request('POST', place('/resolve'), {
      text: `{"doc":${doc},"ifLeaves":["${b}","${rev}"]}`,
      headers: { 'content-type': 'application/json' },
    });
    expect([status, text]).toEqual([201, expect.stringContaining('"ok":true')]);
    const got = await app.request('GET', `/db/${encoded()}`);
    expect(got.text).toContain('"n":1.0');
    expect(got.body).toMatchObject({
      _id: id,
      _attachments: { f: { digest, content_type: 'text/plain' }, g: { digest, content_type: 'a/b' } },
    });
    expect((await app.request('GET', `/db/${encoded()}/g`)).text).toBe('left');
  });

  test('by deleting it', async () => {
    expect((await resolve({ delete: true })).status).toBe(201);
    expect((await app.request('GET', `/db/${encoded()}`)).body).toMatchObject({ reason: 'deleted' });
  });

  test('not where it has other leaves by now', async () => {
    expect((await resolve({ leaf: a, ifLeaves: [a] })).status).toBe(409);
    expect((await resolve({ leaf: a })).status).toBe(201);
    expect((await resolve({ leaf: a })).status).toBe(409);
  });

  test('with a body of a leaf that it has, where the body says of which', async () => {
    expect((await resolve({ doc: { _rev: base, n: 3 } })).status).toBe(409);
    expect(await show()).toMatchObject({ state: 'kept', journal: [] });
    expect((await resolve({ doc: { _rev: a, n: 3 } })).status).toBe(201);
  });

  test.each<[object, RegExp]>([
    [{ doc: { _rev: 'x' } }, /Invalid rev/],
    [{}, /One of leaf, doc, delete/],
    [{ leaf: a, delete: true }, /One of/],
    [{ leaf: a, more: 1 }, /no member "more"/],
    [{ leaf: '2-x' }, /2-x is no leaf/],
    [{ leaf: 1 }, /Invalid rev/],
    [{ delete: false }, /only be true/],
    [{ doc: [] }, /JSON object/],
    [{ doc: { _bad: 1 } }, /Bad special/],
    [{ doc: { _attachments: { f: { stub: true } } } }, /no leaf has the attachment "f"/],
    [{ doc: { _attachments: { f: { data: '' } } } }, /put later/],
    [{ leaf: a, ifLeaves: 'x' }, /array/],
  ])('not by %j', async (json, reason) => {
    expect(await resolve(json)).toMatchObject({
      status: 400,
      body: { reason: expect.stringMatching(reason) as string },
    });
    expect(await show()).toMatchObject({ state: 'kept', journal: [] });
  });

  test('not by somebody who may not write it', async () => {
    expect((await resolve({ leaf: a }, 'stranger')).status).toBe(403);
    id = `_design/${made++}`;
    await clash(app, 'db', id, { a: {}, b: { views: {} } });
    expect((await resolve({ leaf: a })).status).toBe(403);
    const bad = { doc: { views: { v: { map: 'function (' } } } };
    expect((await resolve(bad, 'dbadmin')).status).toBe(400);
    expect((await resolve({ leaf: a }, 'dbadmin')).status).toBe(201);
  });

  test('not with what a design document refuses', async () => {
    const validate = "function (doc) { if (doc.bad) throw ({ forbidden: 'bad' }); }";
    const design = { validate_doc_update: validate };
    const { body } = await app.request('PUT', '/db/_design/judge', { json: design });
    const answer = await resolve({ doc: { bad: true } });
    expect(answer).toMatchObject({ status: 403, body: { error: 'forbidden', reason: 'bad' } });
    await app.request('DELETE', `/db/_design/judge?rev=${(body as { rev: string }).rev}`);
    expect(await show()).toMatchObject({ state: 'kept', journal: [] });
  });
});
