import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from 'vitest';
import { startUsers, type Users } from '../auth/users/gateway.js';
import { until } from '../system/support/wait.js';

let server: Users;
let other: Users;

beforeAll(async () => {
  server = await startUsers();
  other = await startUsers();
  for (const name of ['jan', 'bo']) await server.put(name, { password: 'pw' });
  for (const database of ['source', 'target', 'private']) await server.ask('PUT', `/${database}`);
  for (const database of ['source', 'target'])
    await server.ask('PUT', `/${database}/_security`, { json: { members: { names: ['jan', 'bo'] } } });
  await server.ask('PUT', '/source/a', { json: { n: 1 } });
  await other.ask('PUT', '/there');
  await other.ask('PUT', '/there/b', { json: { n: 2 } });
});
afterAll(() => Promise.all([server.stop(), other.stop()]));

let count = 0;
/** Documents that make a replication another one. */
let doc_ids: string[];
beforeEach(() => {
  doc_ids = [`doc${++count}`];
});

const replicate = (json: unknown, as = 'admin:secret') => server.ask('POST', '/_replicate', { as, json });
const urlOf = (from: Users, database: string, as?: string): string =>
  from.gateway.url.replace('://', as === undefined ? '://' : `://${as}@`) + `/${database}`;

describe('_replicate', () => {
  it('copies from and to other servers for server admins', async () => {
    const there = urlOf(other, 'there', 'admin:secret');
    expect(await replicate({ source: there, target: 'copied', create_target: true })).toMatchObject({
      status: 200,
      body: { ok: true, history: [{ docs_written: 1 }] },
    });
    expect((await server.ask('GET', '/copied/b')).body).toMatchObject({ n: 2 });
    expect(await replicate({ source: 'source', target: there })).toMatchObject({ status: 200 });
    expect((await other.ask('GET', '/there/a')).body).toMatchObject({ n: 1 });
  });

  it('copies from a server to the same over one connection to each side', async () => {
    const data = Buffer.alloc(1 << 20).toString('base64');
    await other.ask('PUT', '/large');
    for (const id of ['a', 'b'])
      await other.ask('PUT', `/large/${id}`, {
        json: { _attachments: { a: { content_type: 'a/b', data } } },
      });
    const [source, target] = ['large', 'copy'].map((name) => urlOf(other, name, 'admin:secret'));
    const answer = await replicate({ source, target, create_target: true, http_connections: 1 });
    expect(answer).toMatchObject({ status: 200, body: { history: [{ docs_written: 2 }] } });
  });

  it.each([
    ['as owner of another server', () => urlOf(other, 'there', 'admin:secret')],
    ['by another port of this machine', () => 'http://127.0.0.1:1/x'],
    ['by a decimal address', () => 'http://2130706433:1/x'],
    ['by a name of the machine that is not the server’s', () => 'http://localhost:1/x'],
    ['a metadata service', () => 'http://169.254.169.254/latest'],
    ['by HTTPS', () => server.gateway.url.replace('http:', 'https:') + '/source'],
  ])('refuses to copy from elsewhere for others: %s', async (_how, source) => {
    const { origin } = new URL(source());
    expect(await replicate({ source: source(), target: 'target' }, 'jan:pw')).toEqual({
      status: 403,
      headers: expect.anything() as unknown,
      body: {
        error: 'forbidden',
        reason: `Replications may not connect to ${origin}. An admin of the server can add it to replication.origins.`,
      },
    });
    expect(
      (await replicate({ source: 'source', target: source(), create_target: true }, 'jan:pw')).status,
    ).toBe(403);
    const continuous = { source: source(), target: 'target', continuous: true };
    expect((await replicate(continuous, 'jan:pw')).status).toBe(403);
    const filtered = { source: source(), target: 'target', filter: 'a/b' };
    expect((await replicate(filtered, 'jan:pw')).status).toBe(403);
  });

  it.each(['localhost', '127.0.0.1', '[::1]', '0x7f.1'])(
    'knows this server by %s, whoever asks',
    async (host) => {
      const url = `http://jan:pw@${host}:${server.port}/source`;
      expect(await replicate({ source: url, target: 'target', doc_ids }, 'jan:pw')).toMatchObject({
        status: 200,
      });
    },
  );

  it('gives nobody rights that they have not', async () => {
    const own = urlOf(server, 'private', 'jan:pw');
    for (const source of ['private', own])
      expect(await replicate({ source, target: 'target' }, 'jan:pw')).toMatchObject({
        status: 403,
        body: { error: 'forbidden', reason: `${urlOf(server, 'private')}/` },
      });
    // A URL says itself who asks: not even an admin's own rights count for it.
    for (const source of [own, urlOf(server, 'private'), urlOf(server, 'source', 'jan:wrong')])
      expect([401, 403]).toContain((await replicate({ source, target: 'target' })).status);
    for (const source of ['_users', '_replicator'])
      expect([401, 403]).toContain((await replicate({ source, target: 'target' }, 'jan:pw')).status);
    for (const target of ['_users', '_replicator', 'private'])
      expect([401, 403, 404], target).toContain(
        (await replicate({ source: 'source', target }, 'jan:pw')).status,
      );
    expect(
      (await replicate({ source: 'source', target: 'made', create_target: true }, 'jan:pw')).status,
    ).toBe(401);
    expect((await server.ask('GET', '/made')).status).toBe(404);
  });

  it('lets nobody lock out others by wrong passwords', async () => {
    for (let tries = 0; tries < 6; tries++)
      await replicate({ source: urlOf(server, 'source', 'bo:wrong'), target: 'target', doc_ids }, 'jan:pw');
    const source = urlOf(server, 'source', 'bo:pw');
    expect((await replicate({ source, target: 'target', doc_ids }, 'jan:pw')).status).toBe(403);
    expect((await replicate({ source, target: 'target', doc_ids }, 'bo:pw')).status).toBe(200);
  });

  it('says what cannot be reached', async () => {
    const answer = async (source: string) =>
      (await replicate({ source, target: 'target', retries_per_request: 0 })).body;
    expect(await answer('http://u:geheim@127.0.0.1:1/x')).toEqual({
      error: 'unreachable',
      reason: 'could not open http://127.0.0.1:1/x/: the connection failed (ECONNREFUSED)',
    });
    expect(await answer('http://u:geheim@nosuch.invalid/x')).toEqual({
      error: 'nxdomain',
      reason: 'could not resolve http://nosuch.invalid/x/',
    });
  });
});

describe('a name that no database may have', () => {
  it.each(['', 'UPPER', '_x', '1a', 'a b', 'a.b'])('is refused as such: %j', async (name) => {
    const answer = {
      status: 400,
      body: {
        error: 'illegal_database_name',
        reason: expect.stringMatching(
          `^Name: '${name}'\\. Only lowercase characters .* begin with a letter\\.$`,
        ) as unknown,
      },
    };
    for (const create_target of [true, false]) {
      expect(await replicate({ source: 'source', target: name, create_target })).toMatchObject(answer);
      expect(await replicate({ source: 'source', target: { url: name }, create_target })).toMatchObject(
        answer,
      );
      expect(await replicate({ source: name, target: 'target', create_target })).toMatchObject(answer);
    }
  });

  it('may be too long, and is said as long as it is not much too long', async () => {
    const target = 'a'.repeat(300);
    expect(await replicate({ source: 'source', target, create_target: true })).toMatchObject({
      status: 400,
      body: { error: 'database_name_too_long' },
    });
    expect((await replicate({ source: 'source', target: 'A'.repeat(5000) })).body).toEqual({
      error: 'invalid_replication',
      reason: 'endpoint has an invalid url',
    });
  });

  it('is told from one of a database that is not there', async () => {
    for (const name of ['nosuch', 'no/such$()+-1_', '_global_changes'])
      expect(await replicate({ source: 'source', target: name })).toMatchObject({
        status: 500,
        body: {
          error: 'db_not_found',
          reason: `could not open ${server.gateway.url}/${encodeURIComponent(name)}/`,
        },
      });
  });
});

describe('a continuous replication', () => {
  const continuous = () => ({ source: 'source', target: 'target', continuous: true, doc_ids });

  it('belongs to whoever began it', async () => {
    const { body } = await replicate(continuous(), 'jan:pw');
    const id = (body as { _local_id: string })._local_id;
    expect(id).toMatch(/^[0-9a-f]{32}\+continuous$/);
    expect((await replicate(continuous(), 'jan:pw')).status).toBe(202);
    expect((await replicate({ cancel: true, id }, 'bo:pw')).status).toBe(401);
    // The same of another user is another one.
    expect((await replicate({ ...continuous(), cancel: true }, 'bo:pw')).status).toBe(404);
    expect(await replicate({ cancel: true, replication_id: id }, 'jan:pw')).toMatchObject({
      status: 200,
      body: { ok: true, _local_id: id },
    });
    expect((await replicate({ cancel: true, _local_id: id }, 'jan:pw')).status).toBe(404);
  });

  it('can be cancelled by server admins', async () => {
    const { body } = await replicate(continuous(), 'jan:pw');
    const id = (body as { _local_id: string })._local_id;
    expect((await replicate({ cancel: true, id })).status).toBe(200);
    expect((await server.ask('GET', '/_scheduler/jobs')).body).toMatchObject({ jobs: [] });
  });

  it('is shown by _active_tasks and _scheduler/jobs as one', async () => {
    const { body } = await replicate(continuous(), 'jan:pw');
    const id = (body as { _local_id: string })._local_id;
    const task = await until('it runs', async () => {
      const tasks = (await server.ask('GET', '/_active_tasks')).body as Record<string, unknown>[];
      return tasks.find((one) => one.replication_id === id && 'docs_read' in one);
    });
    const job = (await server.ask('GET', `/_scheduler/jobs/${encodeURIComponent(id)}`)).body;
    expect(job).toMatchObject({ id, pid: task.pid, user: 'jan', source: task.source, target: task.target });
    expect(task).toMatchObject({
      type: 'replication',
      user: 'jan',
      continuous: true,
      docs_written: 0,
      node: 'nonode@nohost',
    });
    await replicate({ cancel: true, id });
    expect((await server.ask('GET', '/_active_tasks')).body).toEqual([]);
  });
});

describe('an account that began a continuous replication', () => {
  const begin = async (as: string, target: string) => {
    await server.ask('PUT', `/${target}`);
    await server.ask('PUT', `/${target}/_security`, { json: { members: { names: [], roles: ['staff'] } } });
    await server.ask('PUT', '/source/_security', {
      json: { members: { names: ['jan', 'bo'], roles: ['staff'] } },
    });
    const { body } = await replicate({ source: 'source', target, continuous: true }, as);
    await until('it copies', async () => (await server.ask('GET', `/${target}/a`)).status === 200);
    return (body as { _local_id: string })._local_id;
  };
  const ended = (id: string) =>
    until('it ended', async () => {
      return (await server.ask('GET', `/_scheduler/jobs/${encodeURIComponent(id)}`)).status === 404;
    });

  it('takes it along when it is deleted', async () => {
    await server.put('kim', { password: 'pw', roles: ['staff'] });
    const id = await begin('kim:pw', 'kims');
    const { _rev } = await server.read('kim');
    await server.ask('DELETE', `${server.documentOf('kim')}?rev=${String(_rev)}`);
    await server.ask('PUT', '/source/after-kim', { json: {} });
    await ended(id);
    expect((await server.ask('GET', '/kims/after-kim')).status).toBe(404);
  });

  it('takes it along when it loses the role that it needs', async () => {
    await server.put('lee', { password: 'pw', roles: ['staff'] });
    const id = await begin('lee:pw', 'lees');
    await server.put('lee', { password: 'pw', roles: [] });
    await server.ask('PUT', '/source/after-lee', { json: {} });
    await ended(id);
    expect((await server.ask('GET', '/lees/after-lee')).status).toBe(404);
  });
});

test('replication.origins counts for everybody', async () => {
  const rest = http.createServer((_request, response) =>
    response.writeHead(302, { location: urlOf(other, 'there') }).end(),
  );
  await new Promise<void>((resolve) => rest.listen(0, '127.0.0.1', resolve));
  const moved = `http://127.0.0.1:${(rest.address() as AddressInfo).port}`;
  const strict = await startUsers({ replication: { origins: [other.gateway.url, moved] } });
  try {
    await strict.put('jan', { password: 'pw' });
    await strict.ask('PUT', '/target');
    await strict.ask('PUT', '/target/_security', { json: { members: { names: ['jan'] } } });
    const ask = async (source: string, as: string) => {
      const json = { source, target: 'target', retries_per_request: 0 };
      return (await strict.ask('POST', '/_replicate', { as, json })).status;
    };
    expect(await ask(urlOf(other, 'there', 'admin:secret'), 'jan:pw')).toBe(200);
    expect(await ask(urlOf(server, 'source', 'jan:pw'), 'admin:secret')).toBe(403);
    expect(await ask(urlOf(strict, 'target', 'jan:pw'), 'jan:pw')).toBe(200);
    // What an origin sends on to another one is not followed, with or without credentials.
    expect(await ask(`${moved}/x`, 'admin:secret')).toBe(500);
  } finally {
    await strict.stop();
    rest.close();
  }
});

test('a document whose servers may not be connected to any more is told so', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'causeway-test-'));
  const stateOf = async (from: Users) =>
    (await from.ask('GET', '/_scheduler/docs/_replicator/one')).body as { state?: string; info?: unknown };
  try {
    const before = await startUsers({}, folder);
    const there = urlOf(other, 'there', 'admin:secret');
    const json = { source: there, target: urlOf(before, 'here', 'admin:secret'), continuous: true };
    await before.ask('PUT', '/here');
    await before.ask('PUT', '/_replicator/one', { json });
    await until('it runs', async () => (await stateOf(before)).state === 'running');
    await before.stop();

    const after = await startUsers({ replication: { origins: [] } }, folder);
    await until('it does not run', async () => (await stateOf(after)).state === 'crashing');
    expect((await stateOf(after)).info).toEqual({
      error: expect.stringMatching(/^forbidden: .*origins\.$/) as unknown,
    });
    await after.stop();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('who is no server admin any more replicates to no other servers', async () => {
  const chief = '/_node/_local/_config/admins/chief';
  await server.ask('PUT', chief, { json: 'pw' });
  const there = urlOf(other, 'there', 'admin:secret');
  const json = { source: there, target: urlOf(server, 'target', 'jan:pw'), continuous: true };
  await server.ask('PUT', '/_replicator/ofchief', { as: 'chief:pw', json });
  expect((await replicate({ ...json, doc_ids }, 'chief:pw')).status).toBe(202);
  const jobs = async () =>
    (
      (await server.ask('GET', '/_scheduler/jobs')).body as {
        jobs: { user: string | null; doc_id: string | null; info: unknown }[];
      }
    ).jobs;
  const ofChief = async () =>
    (await jobs()).filter((one) => one.info !== null && (one.user === 'chief' || one.doc_id === 'ofchief'));
  await until('both run', async () => (await ofChief()).length === 2);
  await server.ask('DELETE', chief);
  const document = '/_scheduler/docs/_replicator/ofchief';
  const { info } = await until('the document is told', async () => {
    const { body } = await server.ask('GET', document);
    return (body as { state: string }).state === 'crashing' && (body as { info: unknown });
  });
  expect(info).toEqual({ error: expect.stringMatching(/^forbidden: .*replication\.origins\.$/) as unknown });
  await until('the other one is gone', async () => (await ofChief()).every(({ user }) => user === null));
});

test('users may begin so many replications by _replicate, and server admins any number', async () => {
  const strict = await startUsers({ replication: { maxTransientJobs: 1 } });
  try {
    await strict.put('jan', { password: 'pw' });
    for (const name of ['a', 'b']) {
      await strict.ask('PUT', `/${name}`);
      await strict.ask('PUT', `/${name}/_security`, { json: { members: { names: ['jan'] } } });
    }
    const begin = async (id: string, as = 'jan:pw', more = {}) => {
      const json = { source: 'a', target: 'b', continuous: true, doc_ids: [id], ...more };
      return await strict.ask('POST', '/_replicate', { as, json });
    };
    expect(await begin('x')).toMatchObject({ status: 202 });
    expect(await begin('y')).toMatchObject({
      status: 429,
      body: {
        error: 'too_many_requests',
        reason: expect.stringContaining('replication.maxTransientJobs') as unknown,
      },
    });
    // What runs already is no more.
    expect(await begin('x')).toMatchObject({ status: 202 });
    for (const id of ['y', 'z']) expect(await begin(id, 'admin:secret')).toMatchObject({ status: 202 });
    await begin('x', 'jan:pw', { cancel: true });
    expect(await begin('z1')).toMatchObject({ status: 202 });
  } finally {
    await strict.stop();
  }
});

test('of what another server says only the beginning is told on', async () => {
  const talkative = http.createServer((_request, response) =>
    response.writeHead(400).end(JSON.stringify({ error: 'bad_request', reason: 'y'.repeat(50_000) })),
  );
  await new Promise<void>((resolve) => talkative.listen(0, '127.0.0.1', resolve));
  const source = `http://127.0.0.1:${(talkative.address() as AddressInfo).port}/x`;
  const { body } = await replicate({ source, target: 'target' });
  expect((body as { reason: string }).reason).toMatch(/^y{1000}…$/);
  talkative.close();
});
