import assert from 'node:assert/strict';
import { createReadStream, createWriteStream } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import couchbackup from '@cloudant/couchbackup';
import { bytesOf } from '../../support/attachments.js';
import { startProcess, temporaryFolder } from '../../support/server.js';
import { documents } from './documents.js';
import { load } from './couch.js';
import { serverTrees } from './pouch.js';
import type { Restartable } from './restartable.js';
import { difference } from './trees.js';
import { until } from './wait.js';

/** Documents in conflict. */
const FORKS = 20;

const commands = path.resolve(import.meta.dirname, '../../../node_modules/.bin');

/** Documents with an attachment each, some edited, deleted or in conflict. */
export async function fillWithAttachments(
  gateway: Restartable,
  database: string,
  count: number,
): Promise<void> {
  await gateway.couch.put(`/${database}`);
  function* attached(): Generator<Record<string, unknown>> {
    let n = 0;
    for (const doc of documents(count)) {
      const data = bytesOf(500 + (n % 50) * 100, ++n).toString('base64');
      const _attachments = { 'a file': { content_type: n % 2 === 0 ? 'text/plain' : 'image/png', data } };
      yield { ...doc, _attachments };
    }
  }
  await load(gateway.couch, database, attached(), 500);
  const { rows } = (await gateway.couch.get(`/${database}/_all_docs?limit=60`)) as {
    rows: { id: string; value: { rev: string } }[];
  };
  const docs = rows.map(({ id, value: { rev } }, n) => {
    const _attachments = { 'a file': { stub: true } };
    return n < 20 ? { _id: id, _rev: rev, _deleted: true } : { _id: id, _rev: rev, n, _attachments };
  });
  await load(gateway.couch, database, docs);
  const forks = rows.slice(-FORKS).map(({ id }, n) => ({
    _id: id,
    _rev: `1-${String(n).padStart(32, 'f')}`,
    fork: true,
    _attachments: { other: { content_type: 'text/plain', data: bytesOf(900, n).toString('base64') } },
  }));
  await gateway.couch.post(`/${database}/_bulk_docs`, { new_edits: false, docs: forks });
}

const finished = (
  work: (done: (error: Error | null, data?: { total: number }) => void) => unknown,
): Promise<number> =>
  new Promise((resolve, reject) => {
    work((error, data) => {
      if (error) reject(error);
      else resolve(data?.total ?? 0);
    });
  });

/** The URL with the admin's name and password in it. */
function urlOf({ url, auth }: Restartable, database = ''): string {
  return `${url.replace('://', `://${auth.username}:${auth.password}@`)}/${database}`;
}

export interface BackupResult {
  /** Seconds. */
  readonly backup: number;
  readonly restore: number;
}

/**
 * Backs a database up and restores it: through couchbackup's functions, and with its commands, of which the first is
 * killed and resumed. Both copies have the same trees and attachments as the original.
 */
export async function runBackup(gateway: Restartable, count: number): Promise<BackupResult> {
  const folder = await temporaryFolder();
  const options = { attachments: true, bufferSize: Math.min(500, count / 10), parallelism: 4 };
  try {
    await fillWithAttachments(gateway, 'original', count);
    const file = path.join(folder, 'by-functions');
    const begun = performance.now();
    const total = await finished((done) =>
      couchbackup.backup(urlOf(gateway, 'original'), createWriteStream(file), options, done),
    );
    // It counts leaves.
    assert.equal(total, count + FORKS);
    const between = performance.now();
    await gateway.couch.put('/by-functions');
    await finished((done) =>
      couchbackup.restore(createReadStream(file), urlOf(gateway, 'by-functions'), options, done),
    );
    const ended = performance.now();
    await restoreByCommand(gateway, await backUpByCommand(gateway, folder, options.bufferSize));
    const wanted = await serverTrees(gateway.couch, 'original', true);
    assert.equal(Object.keys(wanted).length, count);
    for (const copy of ['by-functions', 'by-commands'])
      assert.equal(difference(await serverTrees(gateway.couch, copy, true), wanted), undefined);
    return { backup: (between - begun) / 1000, restore: (ended - between) / 1000 };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @returns the file */
async function backUpByCommand(gateway: Restartable, folder: string, bufferSize: number): Promise<string> {
  const [output, log] = [path.join(folder, 'by-commands'), path.join(folder, 'log')];
  const args = ['--db', 'original', '--output', output, '--log', log, '--attachments'];
  const sizes = ['--buffer-size', String(bufferSize), '--parallelism', '1'];
  const env = { COUCH_URL: urlOf(gateway) };
  const command = path.join(commands, 'couchbackup');
  const first = startProcess(command, [...args, ...sizes], { env });
  const written = async (): Promise<number> =>
    (await readFile(log, 'utf8').catch(() => '')).match(/^:d /gm)?.length ?? 0;
  await until('some batches are written', async () => (await written()) >= 2, { step: 1 });
  first.signal('SIGKILL');
  await first.ended;
  assert.ok((await written()) < 10, 'it was killed in the middle');
  const second = startProcess(command, [...args, ...sizes, '--resume'], { env });
  assert.equal(await second.ended, 0, second.stderr);
  return output;
}

async function restoreByCommand(gateway: Restartable, file: string): Promise<void> {
  await gateway.couch.put('/by-commands');
  // It reads its standard input.
  const command = '"$0" --db by-commands --attachments < "$1"';
  const restore = startProcess('/bin/sh', ['-c', command, path.join(commands, 'couchrestore'), file], {
    env: { COUCH_URL: urlOf(gateway) },
  });
  assert.equal(await restore.ended, 0, restore.stderr);
}
