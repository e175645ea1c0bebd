import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isTombstone } from '../../../src/conflicts/revisions.js';
import { Restartable } from '../../system/support/restartable.js';
import { until } from '../../system/support/wait.js';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { type Recorder, startRecorder } from './recorder.js';

const DOCUMENTS = Array.from({ length: 20 }, (_, at) => `d${at}`);

let back: Users;
let recorder: Recorder;
let front: Restartable;
let folder: string;
beforeAll(async () => {
  back = await startUsers();
  recorder = await startRecorder(back.gateway.url);
  folder = await mkdtemp(path.join(tmpdir(), 'causeway-test-'));
  await configure({});
  front = await Restartable.start({
    args: ['--config', path.join(folder, 'causeway.yaml')],
    env: { CAUSEWAY_UPSTREAM_PASSWORD: 'secret' },
  });
});
afterAll(async () => {
  await front.remove();
  recorder.close();
  await back.stop();
  await rm(folder, { recursive: true, force: true });
});

async function configure(conflicts: object): Promise<void> {
  const values = {
    upstream: { url: recorder.url, username: 'admin', firstRetry: 50, pollInterval: 1000 },
    databases: [{ match: '*', mode: 'mirror', merge: { function: 'last-write-wins', field: '/at' } }],
    journal: { minAge: 0 },
    conflicts,
  };
  await writeFile(path.join(folder, 'causeway.yaml'), JSON.stringify(values));
}

interface Row {
  readonly changes: readonly { readonly rev: string }[];
}

/** How many tombstones documents have in the answer of a feed. */
const tombstonesIn = (answer: unknown): number =>
  (answer as { results: readonly Row[] }).results
    .flatMap(({ changes }) => changes)
    .filter(({ rev }) => isTombstone(rev)).length;

const FEED = '/notes/_changes?style=all_docs';
const there = async (): Promise<number> => tombstonesIn((await back.ask('GET', FEED)).body);
const here = async (): Promise<number> => tombstonesIn(await front.couch.get(FEED));

test('a gateway that is killed between a purge upstream and here does the rest when it is back', async () => {
  await back.ask('PUT', '/notes');
  const docs = DOCUMENTS.flatMap((_id) => ['a', 'b'].map((hash, at) => ({ _id, _rev: `1-${hash}`, at })));
  await back.ask('POST', '/notes/_bulk_docs', { json: { docs, new_edits: false } });
  await until('everything to be merged', async () => {
    const { warm, ahead } = (await front.couch.get('/_gateway/databases/notes').catch(() => ({}))) as {
      warm?: boolean;
      ahead?: number;
    };
    if (warm !== true) await front.couch.get('/notes');
    return warm === true && ahead === 0 && (await there()) === DOCUMENTS.length;
  });
  expect(await here()).toBe(DOCUMENTS.length);
  recorder.keeps = (asked) => asked.endsWith('/_purge');
  await configure({ purgeResolvedAfter: 0.000_000_1 });
  await front.couch.post('/_node/_local/_config/_reload', {});
  await until('the purge upstream', () => recorder.waiting > 0);
  await front.kill();
  expect(await there()).toBe(0);
  recorder.keeps = () => false;
  // Nothing more is purged by itself: what is there is followed.
  await configure({});
  await front.start();
  await until('the purge here', async () => (await here().catch(() => -1)) === 0);
  expect(await there()).toBe(0);
  const { rejections } = (await front.couch.get('/_gateway/databases/notes')) as { rejections: number };
  expect(rejections).toBe(0);
});
