import { onTestFinished } from 'vitest';
import type { Agent } from 'undici';
import { notFound } from '../../src/errors.js';
import { newAgent } from '../../src/replication/http/agent.js';
import type { HttpPeerOptions } from '../../src/replication/http/options.js';
import { HttpPeer } from '../../src/replication/http/peer.js';
import type { LocalPeerOptions } from '../../src/replication/local/options.js';
import { LocalPeer } from '../../src/replication/local/peer.js';
import type { ReplicationTuning } from '../../src/replication/options.js';
import type { Databases } from '../../src/store/databases.js';
import type { Database } from '../../src/store/types/database.js';
import type { DatabaseView } from '../../src/store/database-view.js';

/** Nothing waits long. */
export const HASTY: Partial<ReplicationTuning> = { retries: 3, firstRetry: 5, longestRetry: 50 };

/** A database of a store as a peer. @param view how the user sees it for whom it is asked */
export function localPeer(
  databases: Databases,
  name: string,
  options: Partial<LocalPeerOptions> = {},
  view: (database: Database) => Database | DatabaseView = (database) => database,
): LocalPeer {
  return new LocalPeer({ ...localPeerOptions(databases, name, view), ...options });
}

export const localPeerOptions = (
  databases: Databases,
  name: string,
  view: (database: Database) => Database | DatabaseView = (database) => database,
): LocalPeerOptions => ({
  name: `http://127.0.0.1/${name}/`,
  access: {
    use: (work) => databases.use(name, (database) => work(view(database))),
    create: async () => {
      await databases.create(name);
    },
  },
  documents: { maxSize: 8_000_000 },
  attachments: { maxSize: 1 << 30, compressible: /^text\//, compressionLevel: 8 },
  filter: () => Promise.reject(notFound('missing')),
});

/** A database behind HTTP as a peer; its connections end with the test. */
export function httpPeer(url: string, options: Partial<HttpPeerOptions> = {}): HttpPeer {
  return new HttpPeer({ url, headers: {}, dispatcher: testAgent(), timeout: 10_000, ...options });
}

function testAgent(): Agent {
  const agent = newAgent();
  onTestFinished(() => agent.destroy());
  return agent;
}
