import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFaultyProxy } from '../support/faulty-proxy.js';
import { BadLine, PASSING_FAULTS } from './support/bad-line.js';
import { Couch, type Info } from './support/couch.js';
import { fill } from './support/fill.js';
import { remotePouch, serverTrees } from './support/pouch.js';
import { Random, testSeed } from './support/random.js';
import { lackingIn, requireCovered, requireNoneAhead, rowsOf } from './support/replication-checks.js';
import { ReplicationDriver } from './support/replication-driver.js';
import { Restartable } from './support/restartable.js';
import { RevisionWriter } from './support/revision-writer.js';
import { difference } from './support/trees.js';
import { until } from './support/wait.js';

/** A CouchDB on this machine with the name and password of an admin, `http://admin:secret@127.0.0.1:5984`. */
const { COUCHDB_URL } = process.env;

/** A server, by turns the source and the target of CouchDB's replicator. */
interface Peer {
  readonly url: string;
  readonly couch: Couch;
  readonly auth: { readonly username: string; readonly password: string };
}

/** What the replicator says of a run that had something to do. */
interface Replicated {
  readonly no_changes?: boolean;
  readonly history?: readonly { readonly docs_written: number; readonly doc_write_failures: number }[];
}

describe.skipIf(COUCHDB_URL === undefined)('the replicator of a CouchDB (needs COUCHDB_URL)', () => {
  let gateway: Restartable;
  let peers: Record<'CouchDB' | 'Causeway', Peer>;
  const made: { readonly peer: Peer; readonly database: string }[] = [];

  beforeAll(async () => {
    gateway = await Restartable.start();
    const { origin, username, password } = new URL(COUCHDB_URL ?? '');
    const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    peers = {
      CouchDB: { url: origin, couch: new Couch(origin, authorization), auth: { username, password } },
      Causeway: gateway,
    };
  });
  afterAll(async () => {
    for (const { peer, database } of made) await peer.couch.delete(`/${database}`);
    await peers.CouchDB.couch.close();
    await gateway.remove();
  });

  async function make(peer: Peer): Promise<string> {
    const database = `replicated-${randomBytes(8).toString('hex')}`;
    await peer.couch.put(`/${database}`);
    made.push({ peer, database });
    return database;
  }

  const endpoint = ({ url, auth }: Pick<Peer, 'url' | 'auth'>, database: string): unknown => ({
    url: `${url}/${database}`,
    auth: { basic: auth },
  });

  async function replicate(
    source: Peer,
    from: string,
    target: Peer,
    to: string,
    options: object = {},
  ): Promise<Replicated> {
    const body = { source: endpoint(source, from), target: endpoint(target, to), ...options };
    return (await peers.CouchDB.couch.post('/_replicate', body)) as Replicated;
  }

  it.each([
    ['CouchDB', 'Causeway'],
    ['Causeway', 'CouchDB'],
    ['Causeway', 'Causeway'],
  ] as const)('carries everything from %s to %s, then nothing, then what is new', async (from, to) => {
    const [source, target] = [peers[from], peers[to]];
    const [database, copy] = [await make(source), await make(target)];
    const db = remotePouch(`${source.url}/${database}`, source.auth);
    await fill(db, 'one');
    const bytes = { small: randomBytes(100), middling: randomBytes(300_000), large: randomBytes(6_000_000) };
    for (const [name, data] of Object.entries(bytes)) {
      const { rev } = await db.putAttachment(name, `${name}.bin`, data, 'application/octet-stream');
      const text = Buffer.from(data.toString('base64'));
      await db.putAttachment(name, 'text "quoted" ü.txt', rev, text, 'text/plain');
    }

    const first = await replicate(source, database, target, copy);
    expect(first.history?.[0]).toMatchObject({ doc_write_failures: 0 });
    const equal = async (): Promise<string | undefined> =>
      difference(await serverTrees(target.couch, copy), await serverTrees(source.couch, database));
    expect(await equal()).toBeUndefined();
    for (const [name, data] of Object.entries(bytes)) {
      const { body } = await target.couch.open('GET', `/${copy}/${name}/${name}.bin`);
      expect(Buffer.from(await body.arrayBuffer()).equals(data)).toBe(true);
    }

    expect(await replicate(source, database, target, copy)).toMatchObject({ no_changes: true });
    for (const round of [1, 2]) {
      await source.couch.put(`/${database}/later-${String(round)}`, { round });
      const later = await replicate(source, database, target, copy);
      // It goes on counting where it left off: nothing was sent again.
      const written = (first.history?.[0]?.docs_written ?? 0) + round;
      expect(later.history?.[0]).toMatchObject({ docs_written: written, doc_write_failures: 0 });
    }
    expect(await equal()).toBeUndefined();
  });

  it.each([
    ['CouchDB', 'Causeway'],
    ['Causeway', 'CouchDB'],
  ] as const)('brings from %s to %s what is asked for, and what comes later', async (from, to) => {
    const [source, target] = [peers[from], peers[to]];
    const database = await make(source);
    const docs = Array.from({ length: 60 }, (_, n) => ({ _id: `doc ${String(n)}`, n, even: n % 2 === 0 }));
    const filters = { below: 'function (doc, req) { return doc.n < Number(req.query.end); }' };
    await source.couch.post(`/${database}/_bulk_docs`, { docs: [...docs, { _id: '_design/d', filters }] });
    const countIn = async (options: object): Promise<number> => {
      const copy = await make(target);
      await replicate(source, database, target, copy, options);
      return ((await target.couch.get(`/${copy}`)) as Info).doc_count;
    };
    expect(await countIn({ filter: 'd/below', query_params: { end: 7 } })).toBe(7);
    expect(await countIn({ selector: { even: true } })).toBe(30);
    expect(await countIn({ doc_ids: ['doc 3', 'doc 33', 'nosuch'] })).toBe(2);

    const copy = await make(target);
    const continuous = {
      source: endpoint(source, database),
      target: endpoint(target, copy),
      continuous: true,
    };
    await peers.CouchDB.couch.post('/_replicate', continuous);
    const holds = (count: number) => async (): Promise<boolean> =>
      ((await target.couch.get(`/${copy}`)) as Info).doc_count === count;
    await until('everything is there', holds(61));
    await source.couch.put(`/${database}/later`, {});
    await until('what came later is there', holds(62));
    await peers.CouchDB.couch.post('/_replicate', { ...continuous, cancel: true });
  });

  it.each([
    ['CouchDB', 'CouchDB', 'Causeway'],
    ['CouchDB', 'Causeway', 'CouchDB'],
    ['Causeway', 'CouchDB', 'Causeway'],
    ['Causeway', 'Causeway', 'CouchDB'],
  ] as const)(
    'that of %s brings everything from %s to %s over a line that fails, while Causeway is killed',
    async (who, from, to) => {
      const [replicator, source, target] = [peers[who], peers[from], peers[to]];
      const random = new Random(testSeed());
      const database = await make(source);
      await target.couch.put(`/${database}`);
      made.push({ peer: target, database });
      const writer = new RevisionWriter(source.couch, database, random);
      for (let n = 0; n < 20; n += 1) await writer.write();
      const far = source === replicator ? target : source;
      const line = new BadLine(await startFaultyProxy(Number(new URL(far.url).port)), random, PASSING_FAULTS);
      const seen = (side: Peer): unknown =>
        endpoint(side === far ? { ...far, url: `http://127.0.0.1:${String(line.port)}` } : side, database);
      const tuning = { worker_processes: 2, worker_batch_size: 10, checkpoint_interval: 500 };
      const patience = { connection_timeout: 2000, retries_per_request: 3 };
      const body = { source: seen(source), target: seen(target), ...tuning, ...patience };
      const sides = { source: source.couch, target: target.couch, database };
      line.spoil();
      writer.start();
      const driver = new ReplicationDriver(replicator.couch, body, who === 'Causeway', database);
      try {
        for (let kill = 0; kill < 2; kill += 1) {
          const countOf = async (): Promise<number> => (await rowsOf(target.couch, database)).length;
          const before = await countOf();
          await until('the target gets on', async () => (await countOf()) > before + 20, { ceiling: 90_000 });
          await gateway.kill();
          line.cut();
          await gateway.start();
          await writer.stop();
          await requireNoneAhead(sides, true);
          writer.start();
          line.spoil();
        }
        await writer.stop();
        line.heal();
        const rows = await rowsOf(source.couch, database);
        await until('everything is there', async () => (await lackingIn(sides, rows)).length === 0, {
          ceiling: 90_000,
        });
        await driver.stop();
        expect(await requireCovered(sides)).toBe(rows.length);
        await requireNoneAhead(sides, true);
      } finally {
        driver.abandon();
        await writer.stop();
        await line.close();
      }
    },
    240_000,
  );
});
