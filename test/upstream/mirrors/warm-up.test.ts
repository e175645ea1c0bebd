import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { PouchDB } from '../../system/support/pouch.js';
import { until } from '../../system/support/wait.js';
import { linkOf } from '../pair.js';
import { type Gate, startGate } from './gate.js';
import { contentOf, fill, mirroring } from './pair.js';

/** A CouchDB with the name and password of an admin, `http://admin:secret@127.0.0.1:5984`. */
const { COUCHDB_URL } = process.env;

type Fetch = (url: string, options: object) => Promise<Response>;

const DOCUMENTS = 60;

describe.each([
  ['another gateway', undefined],
  ...(COUCHDB_URL === undefined ? [] : [['a CouchDB (needs COUCHDB_URL)', COUCHDB_URL] as const]),
] as const)('a mirror of %s that gets warm', (_, couch) => {
  let back: Users | undefined;
  let gate: Gate;
  let front: Users;
  let name: string;
  /** What the upstream is asked by itself. */
  let there: Users['ask'];

  beforeAll(async () => {
    if (couch === undefined) {
      back = await startUsers();
      there = back.ask;
    } else {
      const { username, password } = new URL(couch);
      const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
      there = async (method, url, asking) => {
        const json = asking?.json;
        const answer = await fetch(new URL(url, couch.replace(/\/\/.*@/, '//')), {
          method,
          headers: { authorization, ...(json !== undefined && { 'content-type': 'application/json' }) },
          ...(json !== undefined && { body: JSON.stringify(json) }),
        });
        return { status: answer.status, headers: {}, body: await answer.json() };
      };
    }
    gate = await startGate(back?.gateway.url ?? couch ?? '');
    front = await startUsers(mirroring(gate.url));
    await until('the upstream to be seen', async () => (await linkOf(front)).state === 'online');
  });
  afterAll(async () => {
    gate.open();
    await front.stop();
    gate.close();
    await back?.stop();
  });
  afterEach(async () => {
    gate.open();
    await there('DELETE', `/${name}`);
  });

  /** An upstream database whose mirror gets no further than to ask what is there. */
  async function prepare(): Promise<void> {
    name = `warming-${randomBytes(6).toString('hex')}`;
    await there('PUT', `/${name}`);
    await fill({ ask: there }, name, DOCUMENTS);
    gate.holds = (_method, path, isClients) => !isClients && path.startsWith(`/${name}/_changes`);
    expect((await front.ask('GET', `/${name}/d1`)).status).toBe(200);
    await until('the mirror to ask', () => gate.waiting > 0);
  }

  const lifeOf = async (ask: Users['ask']): Promise<unknown> =>
    ((await ask('GET', `/${name}`)).body as { instance_start_time: unknown }).instance_start_time;

  async function switchOver(): Promise<void> {
    gate.open();
    const life = await lifeOf(there);
    await until('the switch', async () => (await lifeOf(front.ask)) !== life);
  }

  /** @param at the number of the request for changes before which the mirror gets warm */
  function client(at: number): PouchDB {
    let requests = 0;
    const { fetch: send } = PouchDB as unknown as { fetch: Fetch };
    const fetch: Fetch = async (url, options) => {
      if (new URL(url).pathname.endsWith('/_changes') && requests++ === at) await switchOver();
      return send(url, options);
    };
    const auth = { username: 'admin', password: 'secret' };
    return new PouchDB(`${front.gateway.url}/${name}`, { auth, fetch, skip_setup: true });
  }

  test.each([
    [7, 0],
    [7, 1],
    [7, 4],
    [20, 1],
    [20, 2],
    [100, 1],
  ])(
    'I4 I5: a client that replicates it once, in pages of %i, has everything whatever page the switch comes before (%i)',
    async (size, at) => {
      await prepare();
      const local = new PouchDB(`once-${name}`, { adapter: 'memory' });
      const remote = client(at);
      try {
        await local.replicate.from(remote, { batch_size: size });
        expect((await local.info()).doc_count).toBe(DOCUMENTS);
        // What comes later does so by the sequences that it has by now.
        await switchOver();
        await front.ask('PUT', `/${name}/late`, { json: {} });
        await local.replicate.from(remote, { batch_size: size });
        expect((await local.info()).doc_count).toBe(DOCUMENTS + 1);
      } finally {
        await local.destroy();
      }
    },
  );

  test('I4: what clients write while requests move is here and there', async () => {
    await prepare();
    const written: string[] = [];
    let isOver = false;
    const write = async (writer: number): Promise<void> => {
      for (let at = 0; !isOver; at++) {
        const { status } = await front.ask('PUT', `/${name}/w${writer}-${at}`, { json: {} });
        if (status === 201) written.push(`w${writer}-${at}`);
      }
    };
    const writers = [0, 1, 2, 3].map(write);
    await until('some writes', () => written.length > 20);
    await switchOver();
    const before = written.length;
    await until('more writes', () => written.length > before + 20);
    isOver = true;
    await Promise.all(writers);
    const here = await contentOf(front, name);
    expect(written.filter((id) => !(id in here))).toEqual([]);
    expect(Object.keys(here)).toHaveLength(written.length + DOCUMENTS);
    await until('all of it there', async () => {
      const content = await contentOf({ ask: there }, name);
      return written.every((id) => content[id] === here[id]);
    });
  });

  test('I4: a write under way to the upstream is waited for, and new ones wait meanwhile', async () => {
    await prepare();
    const slow = `/${name}/slow`;
    gate.holds = (_method, path) => path === slow;
    const first = front.ask('PUT', slow, { json: {} });
    await until('it to be under way', () => gate.waiting > 1);
    gate.open(`/${name}/_changes`);
    let isAnswered = false;
    const second = until('a write to wait', async () => {
      const { status } = await front.ask('PUT', `/${name}/next-${randomBytes(4).toString('hex')}`, {
        json: {},
      });
      isAnswered = true;
      return status === 201 && (await lifeOf(front.ask)) !== (await lifeOf(there));
    });
    // Reads go on there.
    expect((await front.ask('GET', `/${name}/d1`)).status).toBe(200);
    expect([await lifeOf(front.ask), isAnswered]).toEqual([await lifeOf(there), expect.any(Boolean)]);
    gate.open(slow);
    expect((await first).status).toBe(201);
    await second;
    expect((await front.ask('GET', slow)).status).toBe(200);
  });

  test('feeds of the upstream end with the switch, so that clients go on here', async () => {
    await prepare();
    const last = ((await there('GET', `/${name}/_changes`)).body as { last_seq: string }).last_seq;
    const feed = `/${name}/_changes?heartbeat=100&since=${encodeURIComponent(last)}`;
    const longpoll = front.ask('GET', `${feed}&feed=longpoll`);
    // Resolves when the answer begins.
    const continuous = await fetch(`${front.gateway.url}${feed}&feed=continuous`, {
      headers: { authorization: `Basic ${Buffer.from('admin:secret').toString('base64')}` },
    });
    await switchOver();
    // Either it learns that nothing came, or it is answered from here, where that sequence means nothing.
    const { status, body } = await longpoll;
    expect([status, [0, DOCUMENTS]]).toEqual([
      200,
      expect.arrayContaining([(body as { results: [] }).results.length]),
    ]);
    expect(await continuous.text()).toMatch(/^\n*$/);
  });
});

test('a mirror that never got warm is not to be had while the upstream is away', async () => {
  const back = await startUsers();
  const gate = await startGate(back.gateway.url);
  const front = await startUsers(mirroring(gate.url));
  try {
    await until('the upstream to be seen', async () => (await linkOf(front)).state === 'online');
    await back.ask('PUT', '/half');
    await fill(back, 'half', 10);
    gate.holds = (_method, path, isClients) => !isClients && path.startsWith('/half/_bulk_get');
    await front.ask('GET', '/half/d1');
    await until('the mirror to be half-full', () => gate.waiting > 0);
    gate.close();
    await until('the loss', async () => (await linkOf(front)).state === 'offline');
    const { status, headers } = await front.ask('GET', '/half/d1');
    expect([status, Number(headers['retry-after']) > 0]).toEqual([503, true]);
  } finally {
    await front.stop();
    await back.stop();
  }
});
