import { rm } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { type MirrorRecord, Records } from '../../../src/upstream/mirrors/records.js';
import { startUsers } from '../../auth/users/gateway.js';
import { temporaryFolder } from '../../support/server.js';
import { mirroring } from './pair.js';

test('I4: a start puts right what a crash left of mirrors, and takes none for warm that is not', async () => {
  const folder = await temporaryFolder();
  const before = await startUsers({}, folder);
  for (const name of ['aside', 'left', 'detached', 'half']) {
    await before.ask('PUT', `/${name}`);
    await before.ask('PUT', `/${name}/doc`, { json: {} });
  }
  await before.stop();
  const records = await Records.open(path.join(folder, 'mirrors'));
  const left: Omit<MirrorRecord, 'created'>[] = [
    { name: 'aside', isWarm: true, isFound: true, purgeSeq: '7-x', local: '1', keptAs: 'aside-kept' },
    { name: 'aside-kept', isWarm: true, isDetached: true },
    { name: 'left', isWarm: false, isLeaving: true },
    { name: 'detached', isWarm: true, isDetached: true },
    { name: 'half', isWarm: false },
    { name: 'lost', isWarm: true },
    { name: 'never-made', isWarm: true, toCreate: {} },
    { name: 'gone', isWarm: true, isDetached: true },
  ];
  for (const record of left) await records.put({ ...record, created: 0 });
  await records.close();
  // Nobody is there.
  const after = await startUsers(mirroring('http://127.0.0.1:9'), folder);
  try {
    const statuses = new Map<string, number>();
    for (const name of ['aside', 'aside-kept', 'left', 'detached', 'half', 'lost', 'never-made', 'gone'])
      statuses.set(name, (await after.ask('GET', `/${name}/doc`)).status);
    expect(Object.fromEntries(statuses)).toEqual({
      aside: 503,
      'aside-kept': 200,
      left: 503,
      detached: 200,
      half: 503,
      lost: 503,
      'never-made': 503,
      gone: 503,
    });
    await after.gateway.close();
    const kept = await Records.open(path.join(folder, 'mirrors'));
    // A later start must not put aside what is copied now.
    expect(kept.get('aside')).toEqual({ name: 'aside', isWarm: false, created: 0 });
    await kept.close();
  } finally {
    await after.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
