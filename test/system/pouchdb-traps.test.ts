import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Changes } from './support/couch.js';
import { PouchDB } from './support/pouch.js';
import { Restartable } from './support/restartable.js';

type Fetch = (url: string, options: { method?: string; body?: string }) => Promise<Response>;

/** A request that PouchDB sent, and what it got. */
interface Sent {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly type: string | null;
}

let gateway: Restartable;
let names = 0;
let database: string;
const opened: PouchDB[] = [];

beforeAll(async () => {
  gateway = await Restartable.start();
});
beforeEach(async () => {
  for (const db of opened.splice(0)) await db.close();
  database = `traps-${String(++names)}`;
  await gateway.couch.put(`/${database}`);
});
afterAll(() => gateway.remove());

function local(): PouchDB {
  const db = new PouchDB(`trapped-replica-${String(++names)}`, { adapter: 'memory' });
  opened.push(db);
  return db;
}

/** The database with a record of the requests for it. @param before is called before each is sent */
function watched(before: (path: string) => Promise<void> = () => Promise.resolve()): {
  remote: PouchDB;
  sent: Sent[];
} {
  const sent: Sent[] = [];
  const { fetch: send } = PouchDB as unknown as { fetch: Fetch };
  const fetch: Fetch = async (url, options) => {
    const path = new URL(url).pathname.slice(database.length + 2);
    await before(path);
    const response = await send(url, options);
    const { status, headers } = response;
    sent.push({ method: options.method ?? 'GET', path, status, type: headers.get('content-type') });
    return response;
  };
  const remote = new PouchDB(`${gateway.url}/${database}`, { auth: gateway.auth, fetch });
  return { remote, sent };
}

async function attachment(db: PouchDB, id: string, name: string): Promise<string> {
  // Its types leave it out.
  const full = db as unknown as { getAttachment(id: string, name: string): Promise<Buffer> };
  return String(await full.getAttachment(id, name));
}

const post = (path: string, body: unknown): Promise<unknown> =>
  gateway.couch.post(`/${database}/${path}`, body);
const put = (path: string, body: unknown): Promise<{ rev: string }> =>
  gateway.couch.put(`/${database}/${path}`, body) as Promise<{ rev: string }>;

describe('a pull', () => {
  it('gets all revisions by _bulk_get, as JSON, whatever the documents are like', async () => {
    const rev = (generation: number, digit: string): string => `${String(generation)}-${digit.repeat(32)}`;
    const docs = [
      { _id: 'conflict', _rev: rev(2, 'a') },
      { _id: 'conflict', _rev: rev(2, 'b') },
      { _id: 'conflict', _rev: rev(3, 'c'), _deleted: true },
      { _id: 'deleted', _rev: rev(1, 'a'), _deleted: true },
      { _id: '_design/x', _rev: rev(1, 'a'), language: 'javascript' },
      ...['constructor', 'a/b', 'é😀', '\u0000', '"', ' '].map((_id) => ({ _id, _rev: rev(1, 'a') })),
    ];
    await post('_bulk_docs', { docs, new_edits: false });
    const { remote, sent } = watched();
    const replica = local();
    expect(await replica.replicate.from(remote)).toMatchObject({
      ok: true,
      docs_written: docs.length,
      errors: [],
    });
    expect(sent.filter(({ status }) => status >= 400).map(({ path }) => path)).toEqual([
      expect.stringMatching(/^_local\//),
    ]);
    const fetched = sent.filter(({ path }) => path !== '' && !/^(_local\/.*|_changes)$/.test(path));
    expect(fetched).toEqual([{ method: 'POST', path: '_bulk_get', status: 200, type: 'application/json' }]);
  });

  it('gets a descendant of each revision that the feed named, though all changed since', async () => {
    await post('_bulk_docs', { docs: ['edited', 'deleted', 'as it was'].map((_id) => ({ _id, v: 1 })) });
    const { results } = (await gateway.couch.get(`/${database}/_changes`)) as Changes;
    const revs = new Map(results.map(({ id, changes }) => [id, changes[0]?.rev]));
    let changed = false;
    const { remote, sent } = watched(async (path) => {
      if (path !== '_bulk_get' || changed) return;
      changed = true;
      const { rev } = await put('edited', { _rev: revs.get('edited'), v: 2 });
      await put('edited', { _rev: rev, v: 3 });
      await put('deleted', { _rev: revs.get('deleted'), _deleted: true });
      await post('_compact', {});
    });
    const replica = local();
    expect(await replica.replicate.from(remote)).toMatchObject({
      ok: true,
      doc_write_failures: 0,
      errors: [],
    });
    expect(changed).toBe(true);
    expect(await replica.get('edited')).toMatchObject({ v: 3 });
    expect(await replica.get('as it was')).toMatchObject({ v: 1 });
    await expect(replica.get('deleted')).rejects.toMatchObject({ status: 404, reason: 'deleted' });
    expect(sent.some(({ method, path }) => method === 'GET' && path === 'edited')).toBe(false);
  });

  it('has the bytes of attachments that changed under a document it knows', async () => {
    const { remote } = watched();
    const replica = local();
    let rev: string | undefined;
    for (const text of ['one', 'two, longer', '']) {
      const data = Buffer.from(text).toString('base64');
      ({ rev } = await put('a', { _rev: rev, _attachments: { f: { content_type: 'text/plain', data } } }));
      expect(await replica.replicate.from(remote)).toMatchObject({ ok: true, docs_written: 1 });
      expect(await attachment(replica, 'a', 'f')).toBe(text);
      expect(await attachment(remote, 'a', 'f')).toBe(text);
    }
  });

  it('never gets an old page of the feed', async () => {
    const path = `/${database}/_changes`;
    const { etag } = (await gateway.couch.request('GET', path)).headers;
    await put('a', {});
    const headers = { 'if-none-match': String(etag) };
    const answer = await gateway.couch.request('GET', path, { headers });
    expect(answer).toMatchObject({ status: 200, body: { results: [{ id: 'a' }] } });
    expect(answer.headers['cache-control']).toBe('must-revalidate');
  });
});

describe('a push', () => {
  it('is told of no failure but what is forbidden, and goes on behind it', async () => {
    const open = { admins: { roles: ['_admin'] }, members: { roles: [] } };
    await gateway.couch.put(`/${database}/_security`, open);
    const replica = local();
    const ids = Array.from({ length: 30 }, (_, at) => `d${String(at).padStart(2, '0')}`);
    await replica.bulkDocs([...ids.map((_id) => ({ _id })), { _id: '_design/x' }]);
    await post('_bulk_docs', { docs: ids.map((_id) => ({ _id, other: true })) });
    const denied: unknown[] = [];
    const remote = new PouchDB(`${gateway.url}/${database}`);
    const pushed = await replica.replicate
      .to(remote, { batch_size: 10 })
      .on('denied', (error) => denied.push(error));
    expect(pushed).toMatchObject({ ok: true, docs_read: 31, docs_written: 30, doc_write_failures: 1 });
    expect(denied).toMatchObject([{ id: '_design/x', error: 'unauthorized' }]);
    const { results } = (await gateway.couch.get(`/${database}/_changes?style=all_docs`)) as Changes;
    expect(results.map(({ id, changes }) => [id, changes.length])).toEqual(
      expect.arrayContaining(ids.map((id) => [id, 2])),
    );
  });

  it('of the same edits by two replicas makes no conflict', async () => {
    const { remote } = watched();
    const [one, two] = [local(), local()];
    for (const replica of [one, two]) {
      const { rev } = await replica.put({ _id: 'a', z: 1, a: { y: 1.5, b: 'é' }, 'x"': [null] });
      await replica.put({ _id: 'a', _rev: rev, z: 2, a: 1 });
      await replica.replicate.to(remote);
    }
    const { results } = (await gateway.couch.get(`/${database}/_changes?style=all_docs`)) as Changes;
    expect(results).toMatchObject([{ id: 'a', changes: [{ rev: expect.stringMatching(/^2-/) as string }] }]);
    // Keys keep their order, on which the revision depends.
    const three = local();
    await three.replicate.from(remote);
    expect(JSON.stringify(await three.get('a'))).toBe(JSON.stringify(await one.get('a')));
  });
});
