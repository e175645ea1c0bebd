import { createHash, randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Peer } from '../../src/replication/peer.js';
import type { ReplicationOptions } from '../../src/replication/options.js';
import { startReplication } from '../../src/replication/run.js';
import { HASTY, httpPeer, localPeer } from '../support/peers.js';
import { newFolder, openDatabases } from '../support/store.js';
import { attachmentsMember, following, revision } from './acceptance.js';
import { expectSame, rowsOf } from './replicas.js';

const never = new AbortController().signal;
const couchdb = process.env.COUCHDB_URL;
const hashOf = (number: number): string => number.toString(16).padStart(32, 'e');

/** A database of the CouchDB, gone after the test. */
function couchPeer(): Peer {
  const { origin, username, password } = new URL(couchdb ?? '');
  const headers = { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
  const url = `${origin}/engine-${randomBytes(6).toString('hex')}/`;
  onTestFinished(async () => {
    await fetch(url, { method: 'DELETE', headers });
  });
  return httpPeer(url, { headers });
}

/** Documents, deleted ones, conflicts, attachments. */
async function fill(peer: Peer): Promise<void> {
  await peer.create({}, never);
  const documents = Array.from({ length: 300 }, (_, n) =>
    revision(`doc ${n}/ü`, [hashOf(n)], `"n":${n},"kind":"${n % 3 === 0 ? 'x' : 'y'}"`),
  );
  const conflicts = Array.from({ length: 20 }, (_, n) =>
    revision(`doc ${n}/ü`, [hashOf(9000 + n), hashOf(8000 + n)], n % 2 === 0 ? '"_deleted":true' : ''),
  );
  const filter = '"filters":{"kind":"function(doc, req) { return doc.kind === req.query.kind; }"}';
  const design = revision('_design/d', [hashOf(99_999)], filter);
  expect(await peer.write([...documents, ...conflicts, design], never)).toEqual([]);
  for (let n = 0; n < 5; n++) {
    const packed = gzipSync('text '.repeat(n * 1000));
    const attachments = [
      following('large ü', randomBytes(n * 1_500_000)),
      following('packed', packed, 'text/plain', 'gzip'),
      following('line\nfeed', Buffer.from('odd')),
    ];
    const members = attachmentsMember(attachments, { packed: n * 5000 });
    await peer.writeWithAttachments(
      { ...revision(`with ${n}`, [hashOf(7000 + n)], members), attachments },
      never,
    );
  }
}

const run = (source: Peer, target: Peer, options: ReplicationOptions = {}) =>
  startReplication({
    id: createHash('md5')
      .update(source.name + target.name)
      .digest('hex'),
    source,
    target,
    options: { createTarget: true, ...options },
    tuning: HASTY,
  }).done;

describe.runIf(couchdb !== undefined)('a CouchDB (needs COUCHDB_URL)', () => {
  it('gets everything from here, and gives it back', async () => {
    const databases = await openDatabases(await newFolder());
    const [first, second]: [Peer, Peer] = [localPeer(databases, 'first'), localPeer(databases, 'second')];
    const couch = couchPeer();
    await fill(first);
    await run(first, couch);
    await expectSame(first, couch);
    await run(couch, second);
    await expectSame(couch, second);
    expect(await run(first, couch)).toMatchObject({ noChanges: true });
    expect(await run(couch, second)).toMatchObject({ noChanges: true });
    const attachments = [following('new', Buffer.from('more'))];
    const stub = '"large ü":{"stub":true,"revpos":1}';
    const members = attachmentsMember(attachments, {}, 2).replace('{"new"', `{${stub},"new"`);
    await second.writeWithAttachments(
      { ...revision('with 4', [hashOf(6000), hashOf(7004)], members), attachments },
      never,
    );
    await run(second, couch);
    await expectSame(second, couch);
  });

  it('filters what it gives', async () => {
    const databases = await openDatabases(await newFolder());
    const couch = couchPeer();
    await fill(couch);
    const count = async (options: ReplicationOptions, name: string): Promise<number> => {
      await run(couch, localPeer(databases, name), options);
      return (await rowsOf(localPeer(databases, name))).length;
    };
    expect(await count({ filter: 'd/kind', queryParams: { kind: 'x' } }, 'filtered')).toBe(100);
    expect(await count({ selector: '{"kind":"x"}' }, 'selected')).toBe(100);
    expect(await count({ docIds: ['with 1', 'doc 7/ü', 'nosuch'] }, 'named')).toBe(2);
  });
});
