// Clients that edit the same documents: some in a replica that syncs live, some by plain requests.
import { setTimeout as pause } from 'node:timers/promises';
import PouchDB from 'pouchdb-node';

import { answerParent } from '../../support/commands.mjs';
import { LiveClient } from './live-client.mjs';

/** By name. */
const clients = new Map();
/** What was written, or may have been. */
const edits = [];
let writing = Promise.resolve();
let isWriting = false;

class Client {
  #count = 0;

  constructor({ name, url, auth, isOnline, rest, ids, choices }) {
    Object.assign(this, { name, url, auth, rest, ids, choices });
    this.replica = isOnline ? undefined : new LiveClient(name);
    this.db = this.replica?.local ?? new PouchDB(url, { auth, skip_setup: true });
    this.replica?.follow(this);
  }

  /** A whole number below `end`, the next of those that it was given. */
  #below(end) {
    return this.choices[this.#count++ % this.choices.length] % end;
  }

  async write() {
    while (isWriting) {
      // Servers are away now and then, and others are quicker.
      await this.#edit().catch(() => undefined);
      await pause(this.rest);
    }
  }

  async #edit() {
    const id = this.ids[this.#below(this.ids.length)];
    const before = await this.#read(id);
    const by = 1 + this.#below(9);
    const token = `${this.name}.${this.#count}+${by}`;
    const isRemoval = id.startsWith('mortal') && before._rev !== undefined && this.#below(4) === 0;
    const { _id, _rev, said = [] } = before;
    if (isRemoval) await this.#put({ _id, _rev, _deleted: true }, { id, removes: said });
    else await this.#put(this.#next(before, token, by), { id, token });
  }

  /** The winner, or another leaf. @throws where it has to come from the server first */
  async #read(id) {
    const none = (error) => {
      if (error.status !== 404 || !/^(born|mortal)/.test(id)) throw error;
      return { _id: id };
    };
    if (this.#below(3) > 0) return this.db.get(id).catch(none);
    const leaves = await this.db.get(id, { open_revs: 'all' }).catch(none);
    const living = [leaves].flat().flatMap(({ ok }) => (ok && !ok._deleted ? [ok] : []));
    return living.length === 0 ? this.db.get(id).catch(none) : living[this.#below(living.length)];
  }

  #next(before, token, by) {
    const { said = [], n = 0, lines = [] } = before;
    const at = this.#below(8);
    const added = lines.map((line, place) => (place === at ? { ...line, count: line.count + by } : line));
    const after = {
      ...before,
      said: [...said, token],
      n: n + by,
      lines: at < lines.length ? added : [...lines, { key: token, count: by }],
    };
    if (before._id.startsWith('titled') && this.#below(4) === 0) after.title = token;
    if (before._id.startsWith('filed') && this.#below(2) === 0) {
      const data = Buffer.from(`${token} `.repeat(1 + this.#below(200))).toString('base64');
      after._attachments = { ...before._attachments, [token]: { content_type: 'text/plain', data } };
    }
    return after;
  }

  async #put(document, edit) {
    try {
      const { rev } = await this.db.put(document);
      edits.push({ ...edit, rev, by: this.name, isAcknowledged: true });
    } catch (error) {
      // Refused for sure; after anything else it may be written.
      if (error.status !== 409) edits.push({ ...edit, by: this.name, isAcknowledged: false });
    }
  }
}

const replicas = () => [...clients.values()].filter(({ replica }) => replica !== undefined);

answerParent({
  start({ options }) {
    for (const one of options) clients.set(one.name, new Client(one));
    isWriting = true;
    writing = Promise.all([...clients.values()].map((client) => client.write()));
  },
  /** Those named sync, all others do not. */
  connect({ names }) {
    for (const client of replicas()) {
      if (names.includes(client.name)) client.replica.follow(client);
      else client.replica.leave();
    }
  },
  count: () => edits.length,
  async settle() {
    isWriting = false;
    await writing;
    return edits;
  },
  leaves: async () =>
    Promise.all(replicas().map(async ({ name, replica }) => [name, await replica.leaves()])),
  leave() {
    isWriting = false;
    for (const { replica } of replicas()) replica.leave();
  },
});
