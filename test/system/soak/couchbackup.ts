import { runBackup } from '../support/backup.js';
import { Restartable } from '../support/restartable.js';
import type { SoakContext } from './context.js';

const COUNT = 10_000;

/** couchbackup with 10,000 documents that have attachments. */
export async function couchbackup(context: SoakContext): Promise<boolean> {
  await context.needDisk(1e9);
  const gateway = await Restartable.start();
  try {
    const { backup, restore } = await runBackup(gateway, COUNT);
    await context.record({ documents: COUNT, backup, restore, seconds: context.seconds });
  } finally {
    await gateway.remove();
  }
  return true;
}
