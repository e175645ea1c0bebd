import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import couchbackup from '@cloudant/couchbackup';
import nano from 'nano';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { documents } from './support/documents.js';
import { PouchDB } from './support/pouch.js';
import { Restartable } from './support/restartable.js';

const ANN = { username: 'ann', password: 'ap/p:l@e' };
const BO = { username: 'bo', password: 'pear' };

let gateway: Restartable;

beforeAll(async () => {
  gateway = await Restartable.start({ env: { CAUSEWAY_PASSWORDS_ITERATIONS: '1000' } });
  for (const { username: name, password } of [ANN, BO])
    await gateway.couch.put(`/_users/org.couchdb.user:${name}`, { name, password, type: 'user', roles: [] });
});
afterAll(async () => {
  await gateway.remove();
});
beforeEach(async () => {
  for (const database of ['notes', 'copy']) {
    await gateway.couch.request('DELETE', `/${database}`);
    await gateway.couch.put(`/${database}`);
    await gateway.couch.put(`/${database}/_security`, {
      members: { names: ['ann'] },
      admins: { roles: ['_admin'] },
    });
  }
});

/** The URL of the server, or of a database, with somebody's name and password in it. */
const urlFor = ({ username, password }: typeof ANN, database = ''): string =>
  `${gateway.url.replace('://', `://${username}:${encodeURIComponent(password)}@`)}/${database}`;

describe('nano', () => {
  it.each<[string, () => Promise<nano.ServerScope>]>([
    ['a log-in', () => loggedIn()],
    ['a cookie', async () => nano({ url: gateway.url, cookie: await cookieOf(ANN) })],
    ['a password in the URL', () => Promise.resolve(nano(urlFor(ANN)))],
  ])('works as a member by %s', async (_way, open) => {
    const server = await open();
    expect(await server.session()).toMatchObject({ userCtx: { name: 'ann', roles: [] } });
    const notes = server.use<{ by?: string }>('notes');
    const { rev } = await notes.insert({ by: 'ann' }, 'note');
    expect(await notes.get('note')).toEqual({ _id: 'note', _rev: rev, by: 'ann' });
    await expect(notes.insert({}, '_design/d')).rejects.toMatchObject({
      statusCode: 403,
      error: 'forbidden',
    });
    await expect(server.db.destroy('notes')).rejects.toMatchObject({
      statusCode: 401,
      error: 'unauthorized',
    });
    await expect(server.db.list()).rejects.toMatchObject({ statusCode: 401 });
  });

  it('is no member as somebody else', async () => {
    const notes = nano(urlFor(BO)).use('notes');
    await expect(notes.info()).rejects.toMatchObject({ statusCode: 403, error: 'forbidden' });
    const wrong = nano(urlFor({ ...ANN, password: 'pear' })).use('notes');
    await expect(wrong.info()).rejects.toMatchObject({ statusCode: 401, error: 'unauthorized' });
  });

  const loggedIn = async (): Promise<nano.ServerScope> => {
    const server = nano({ url: gateway.url });
    expect(await server.auth(ANN.username, ANN.password)).toEqual({ ok: true, name: 'ann', roles: [] });
    return server;
  };
  const cookieOf = async ({ username: name, password }: typeof ANN): Promise<string> => {
    const { headers } = await gateway.couch.request('POST', '/_session', { body: { name, password } });
    return String(headers['set-cookie']).split(';', 1)[0] ?? '';
  };
});

describe('PouchDB', () => {
  const local = (name: string): PouchDB =>
    new PouchDB(`${name}-${crypto.randomUUID()}`, { adapter: 'memory' });

  it.each<[string, () => PouchDB]>([
    ['as an option', () => new PouchDB(`${gateway.url}/notes`, { auth: ANN })],
    ['in the URL', () => new PouchDB(urlFor(ANN, 'notes'))],
  ])('syncs as a member, with a password %s', async (_way, open) => {
    const [one, two] = [local('one'), local('two')];
    await one.put({ _id: 'note', by: 'ann' });
    await one.put({ _id: '_design/d', views: {} });
    const denied: unknown[] = [];
    const push = one.replicate.to(open()).on('denied', (what) => denied.push(what));
    // What members may not write is said, and the rest goes on.
    expect(await push).toMatchObject({ ok: true, docs_written: 1, doc_write_failures: 1 });
    expect(denied).toMatchObject([{ id: '_design/d', name: 'forbidden' }]);
    expect(await two.replicate.from(open())).toMatchObject({ ok: true, docs_written: 1 });
    expect(await two.get('note')).toMatchObject({ by: 'ann' });
    await Promise.all([one.destroy(), two.destroy()]);
  });

  it('is told that somebody else is no member', async () => {
    const one = local('one');
    const refused = one.replicate.from(new PouchDB(`${gateway.url}/notes`, { auth: BO }));
    await expect(refused).rejects.toMatchObject({ status: 403 });
    await one.destroy();
  });
});

describe('couchbackup', () => {
  it('backs up and restores as a member', async () => {
    await gateway.couch.post('/notes/_bulk_docs', { docs: [...documents(50)] });
    const file = new PassThrough();
    const kept = text(file);
    const done = (work: (end: (error: Error | null, data?: { total: number }) => void) => unknown) =>
      new Promise<number>((resolve, reject) => {
        work((error, data) => (error ? reject(error) : resolve(data?.total ?? 0)));
      });
    expect(await done((end) => couchbackup.backup(urlFor(ANN, 'notes'), file, {}, end))).toBe(50);
    const source = Readable.from([await kept]);
    expect(await done((end) => couchbackup.restore(source, urlFor(ANN, 'copy'), {}, end))).toBe(50);
    expect(await gateway.couch.get('/copy')).toMatchObject({ doc_count: 50 });
    const foreign = done((end) => couchbackup.backup(urlFor(BO, 'notes'), new PassThrough(), {}, end));
    await expect(foreign).rejects.toMatchObject({ name: 'Forbidden' });
  });
});
