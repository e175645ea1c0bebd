import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Started, startExpressPouchDB } from '../../scripts/benchmark/servers.js';
import type { Peer } from '../../src/replication/peer.js';
import { startReplication } from '../../src/replication/run.js';
import { HASTY, httpPeer, localPeer } from '../support/peers.js';
import { newFolder, openDatabases } from '../support/store.js';
import { attachmentsMember, following, hash, revision } from './acceptance.js';
import { expectNoneAhead, expectSame } from './replicas.js';

const never = new AbortController().signal;
let server: Started;
beforeAll(async () => {
  server = await startExpressPouchDB();
  // npm installs it at the first time.
}, 300_000);
afterAll(() => server.stop());

const hashOf = (number: number): string => number.toString(16).padStart(32, 'd');

/** Of what is replicated from a source. */
const idOf = (source: Peer): string => source.name.replace(/\W/g, '');

/** Documents, some deleted, in conflict or with attachments. */
async function fill(peer: Peer): Promise<void> {
  await peer.create({}, never);
  const documents = Array.from({ length: 150 }, (_, n) =>
    revision(`doc ${n}/ü`, [hashOf(n)], n % 10 === 9 ? '"_deleted":true' : `"n":${n},"text":"ä\\u0000"`),
  );
  const conflicts = Array.from({ length: 20 }, (_, n) =>
    revision(`doc ${n}/ü`, [hashOf(900 + n), hashOf(800 + n)], n % 2 === 0 ? '"_deleted":true' : ''),
  );
  expect(await peer.write([...documents, ...conflicts], never)).toEqual([]);
  for (let n = 0; n < 4; n++) {
    const attachments = [
      following('bytes ü', randomBytes(n * 40_000)),
      following('text', Buffer.from('x'), 'text/plain'),
    ];
    const document = revision(`with ${n}`, [hashOf(700 + n)], attachmentsMember(attachments));
    await peer.writeWithAttachments({ ...document, attachments }, never);
  }
}

it('gets everything from here, gives it back, and then what is new', async () => {
  const databases = await openDatabases(await newFolder());
  const [first, second]: [Peer, Peer] = [localPeer(databases, 'first'), localPeer(databases, 'second')];
  const express = httpPeer(`${server.target.url}/express/`);
  const run = (source: Peer, target: Peer) =>
    startReplication({
      id: idOf(source),
      source,
      target,
      options: { createTarget: true },
      tuning: { ...HASTY, batchSize: 20, checkpointInterval: 5 },
    }).done;
  await fill(first);
  await run(first, express);
  await expectSame(first, express);
  await run(express, second);
  await expectSame(first, second);
  expect(await run(first, express)).toMatchObject({ noChanges: true });
  expect(await run(express, second)).toMatchObject({ noChanges: true });

  await second.write([revision('doc 30/ü', [hash('a'), hashOf(30)], '"new":true')], never);
  await run(second, express);
  await expectSame(second, express);
  await run(express, first);
  await expectSame(second, first);
  await expectNoneAhead(express, first, idOf(express));
});
