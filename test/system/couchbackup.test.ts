import { afterAll, beforeAll, expect, it } from 'vitest';
import { runBackup } from './support/backup.js';
import { Restartable } from './support/restartable.js';

const COUNT = 1000;

let gateway: Restartable;

beforeAll(async () => {
  gateway = await Restartable.start();
});
afterAll(async () => {
  await gateway.remove();
});

it(`couchbackup backs up and restores ${String(COUNT)} documents with attachments, conflicts and deletions`, async () => {
  await runBackup(gateway, COUNT);
  expect(gateway.program.stderr).not.toContain('"level":"error"');
});
