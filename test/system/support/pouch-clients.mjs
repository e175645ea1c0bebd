// PouchDB clients that sync live with one database of a server, many of them in a process of their own.
import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { Agent } from 'node:http';
import memory from 'pouchdb-adapter-memory';
import PouchDB from 'pouchdb-node';

import { answerParent } from '../../support/commands.mjs';

PouchDB.plugin(memory);
// Each database of a process adds listeners to what all of them share.
EventEmitter.defaultMaxListeners = 0;

/** Name → a replica and its sync. */
const clients = new Map();

/** As in a browser, connections are kept for the next request. */
function remoteOf(url, auth) {
  const agent = new Agent({ keepAlive: true });
  return new PouchDB(url, { auth, fetch: (to, options) => PouchDB.fetch(to, { ...options, agent }) });
}

const leavesOf = async ({ local }) => {
  const { results } = await local.changes({ style: 'all_docs' });
  const leaves = results.map(({ id, changes }) => `${id} ${changes.map(({ rev }) => rev).sort()}`);
  return createHash('md5').update(leaves.sort().join('\n')).digest('hex');
};

answerParent({
  async start({ url, auth, names }) {
    for (const name of names) {
      const local = new PouchDB(name, { adapter: 'memory' });
      const sync = local.sync(remoteOf(url, auth), { live: true, retry: true });
      clients.set(name, { local, sync });
    }
    // Each has written its first checkpoint, or has found that there is nothing to do.
    await Promise.all(
      [...clients.values()].map(({ sync }) => new Promise((resolve) => sync.on('paused', resolve))),
    );
  },
  /** Each client writes so many documents, one after the other. */
  async write({ documents }) {
    const writeAll = async ([name, { local }]) => {
      for (let n = 0; n < documents; n += 1) {
        await local.put({
          _id: `${name}-${n}`,
          writer: name,
          n,
          text: `${name} wrote this as number ${n}. `.repeat(10),
        });
      }
    };
    await Promise.all([...clients].map(writeAll));
  },
  /** The fewest documents that one of them has. */
  async fewest() {
    const infos = await Promise.all([...clients.values()].map(({ local }) => local.info()));
    return Math.min(...infos.map(({ doc_count: count }) => count));
  },
  /** What all of them have, as one digest each. */
  leaves: () => Promise.all([...clients.values()].map(leavesOf)),
  async stop() {
    for (const { sync } of clients.values()) sync.cancel();
  },
});
