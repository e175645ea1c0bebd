// PouchDB clients that sync live with one database, each with a replica of its own that it writes to.
import { setTimeout as pause } from 'node:timers/promises';

import { answerParent } from '../../support/commands.mjs';
import { LiveClient } from './live-client.mjs';

/** Milliseconds between two writes of one client. */
const REST = 150;

/** By name. */
const clients = new Map();
const written = [];
let writing = Promise.resolve();
let isWriting = false;

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

function leave() {
  isWriting = false;
  for (const client of clients.values()) client.leave();
}

answerParent({
  start({ url, auth, names }) {
    for (const name of names) {
      const client = new LiveClient(name);
      clients.set(name, client);
      client.follow({ url, auth });
    }
    isWriting = true;
    writing = Promise.all([...clients].map(write));
  },
  move({ url, auth }) {
    for (const client of clients.values()) client.follow({ url, auth });
  },
  cut: async () => {
    await Promise.all([...clients.values()].map((client) => client.cut()));
  },
  async settle() {
    isWriting = false;
    await writing;
    return written;
  },
  leaves: () => Promise.all([...clients.values()].map((client) => client.leaves())),
  leave,
});
