// PouchDB clients that sync live with one database, each with a replica of its own that it writes to.
import { EventEmitter } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import memory from 'pouchdb-adapter-memory';
import PouchDB from 'pouchdb-node';

import { answerParent } from '../../support/commands.mjs';

PouchDB.plugin(memory);
EventEmitter.defaultMaxListeners = 0;
// PouchDB asks for the info of a database on the side, and does not handle that the server is away just then.
process.on('unhandledRejection', () => undefined);

/** Milliseconds between two writes of one client. */
const REST = 150;
const REPLICATION = {
  live: true,
  retry: true,
  back_off_function: (delay) => Math.min((delay || 25) * 2, 1000),
};

/** Name → a replica and its sync. */
const clients = new Map();
const written = [];
let writing = Promise.resolve();
let isWriting = false;

/** It ends for good after some errors, which here only come of kills and bad lines: so it begins again. */
function keepSyncing(client) {
  const begin = () => {
    if (client.remote === undefined || client.sync !== undefined) return;
    const sync = client.local.sync(client.remote, REPLICATION);
    client.sync = sync;
    const again = () => {
      // It tells its end more than once, and may be another one by now.
      if (client.sync !== sync) return;
      client.sync = undefined;
      setTimeout(begin, 200);
    };
    sync.on('error', again);
    sync.on('complete', again);
    sync.catch(() => undefined);
  };
  begin();
}

async function write([name, { local }]) {
  for (let n = 0; isWriting; n += 1) {
    const id = `${name} ${n}`;
    await local.put({ _id: id, writer: name, text: `number ${n} `.repeat(20) });
    written.push(id);
    // Most conflicts come of documents that everybody edits. One with a long history would be too large for some lines.
    const common = `shared ${Math.floor(n / 10)}`;
    const shared = await local.get(common).catch(() => ({ _id: common, edits: [] }));
    await local.put({ ...shared, edits: [...shared.edits.slice(-20), id] }).catch(() => undefined);
    await pause(REST);
  }
}

const leavesOf = async ({ local }) => {
  const { results } = await local.changes({ style: 'all_docs' });
  const lines = results.map(({ id, changes }) => [id, ...changes.map(({ rev }) => rev).sort()].join(' '));
  return lines.sort().join('\n');
};

function leave() {
  for (const client of clients.values()) {
    const { sync } = client;
    client.remote = client.sync = undefined;
    sync?.cancel();
  }
}

answerParent({
  start({ url, auth, names }) {
    for (const name of names) {
      const client = { local: new PouchDB(name, { adapter: 'memory' }), remote: new PouchDB(url, { auth }) };
      clients.set(name, client);
      keepSyncing(client);
    }
    isWriting = true;
    writing = Promise.all([...clients].map(write));
  },
  move({ url, auth }) {
    leave();
    for (const client of clients.values()) {
      client.remote = new PouchDB(url, { auth });
      keepSyncing(client);
    }
  },
  async settle() {
    isWriting = false;
    await writing;
    return written;
  },
  leaves: () => Promise.all([...clients.values()].map(leavesOf)),
  leave,
});
