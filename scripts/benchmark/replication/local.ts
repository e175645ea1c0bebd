import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createLogger } from '../../../src/observe/log.js';
import { Tasks } from '../../../src/observe/tasks.js';
import { LocalPeer } from '../../../src/replication/local/peer.js';
import type { Peer } from '../../../src/replication/peer.js';
import { Databases } from '../../../src/store/databases.js';
import type { CleanUp } from './way.js';

/** Databases of this process. */
export async function localStore(cleanUp: CleanUp): Promise<Databases> {
  const folder = await mkdtemp(path.join(tmpdir(), 'causeway-bench-'));
  cleanUp.push(() => rm(folder, { recursive: true, force: true }));
  const databases = await Databases.open(
    folder,
    {
      maxOpen: 10,
      // A server's defaults.
      memory: 512 << 20,
      writeBuffer: 16 << 20,
      cache: 8 << 20,
      chunkAbove: 4 << 20,
      sync: true,
    },
    {
      compaction: {
        automatic: false,
        minRatio: 2,
        minSlack: 1 << 29,
        minSize: 1 << 20,
        concurrency: 1,
        staleness: 0,
        from: '00:00',
        to: '24:00',
      },
      tasks: new Tasks(),
      log: createLogger({ level: 'silent' }),
    },
  );
  cleanUp.push(() => databases.close());
  return databases;
}

export const localPeer = (databases: Databases, name: string): Peer =>
  new LocalPeer({
    name: `http://127.0.0.1/${name}/`,
    access: {
      use: (work) => databases.use(name, work),
      create: async () => {
        await databases.create(name);
      },
    },
    documents: { maxSize: 8_000_000 },
    attachments: { maxSize: 1 << 30, compressible: /^text\//, compressionLevel: 8 },
    filter: () => Promise.reject(new Error('no filters here')),
  });
