import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Couch } from './support/couch.js';
import { fill } from './support/fill.js';
import { remotePouch, serverTrees } from './support/pouch.js';
import { Restartable } from './support/restartable.js';
import { difference } from './support/trees.js';

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

  async function replicate(source: Peer, from: string, target: Peer, to: string): Promise<Replicated> {
    const endpoint = ({ url, auth }: Peer, database: string): unknown => ({
      url: `${url}/${database}`,
      auth: { basic: auth },
    });
    const body = { source: endpoint(source, from), target: endpoint(target, to) };
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
});
