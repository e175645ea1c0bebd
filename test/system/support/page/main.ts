/** What runs in the browser: bundled by `bundlePage`, called by the tests through `page.evaluate`. */
import indexeddb from 'pouchdb-adapter-indexeddb';
import authentication, {
  type Answer,
  type Authentication,
} from 'pouchdb-authentication/dist/pouchdb.authentication.js';
import PouchDB, { type Doc, type Options, type Sync } from 'pouchdb-browser';
import { documents } from '../documents.js';
import { fill } from '../fill.js';
import { noise } from '../noise.js';
import { pouchLeaves, pouchTrees } from '../trees.js';

PouchDB.plugin(indexeddb);
PouchDB.plugin(authentication);

const databases = new Map<string, PouchDB>();
const syncs = new Map<string, Sync>();
/** What live replications could not carry. */
const problems: string[] = [];

function db(name: string): PouchDB {
  let found = databases.get(name);
  if (!found) databases.set(name, (found = new PouchDB(name, { adapter: 'indexeddb' })));
  return found;
}

const api = {
  adapter: (name: string) => db(name).adapter,

  fill: async (name: string, who: string) => {
    await fill(db(name), who);
  },

  write: async (name: string, count: number, prefix: string) => {
    await db(name).bulkDocs([...documents(count, 500, prefix)] as Doc[]);
  },

  put: (name: string, doc: Doc) => db(name).put(doc),

  edit: async (name: string, id: string, members: object) =>
    db(name).put({ ...(await db(name).get(id)), ...members }),

  remove: async (name: string, id: string) => db(name).remove(id, (await db(name).get(id))._rev ?? ''),

  get: (name: string, id: string) => db(name).get(id),

  /** The winner, with the revisions that it conflicts with. */
  getConflicts: (name: string, id: string) => db(name).get(id, { conflicts: true }),

  /** Puts a document with a Blob. */
  putBlob: async (name: string, id: string, length: number, seed: number) => {
    const data = new Blob([noise(length, seed)], { type: 'application/octet-stream' });
    await db(name).put({ _id: id, _attachments: { blob: { content_type: data.type, data } } });
  },

  /** What a Blob holds, as far as it has to be compared. */
  readBlob: async (name: string, id: string) => {
    const blob = await db(name).getAttachment(id, 'blob');
    const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer());
    const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
    return { isBlob: blob instanceof Blob, size: blob.size, type: blob.type, sha256: hex };
  },

  count: async (name: string) => (await db(name).info()).doc_count,

  push: async (name: string, url: string, options?: Options) =>
    db(name).replicate.to(new PouchDB(url, options)).then(summary),

  pull: async (name: string, url: string, options?: Options) =>
    db(name).replicate.from(new PouchDB(url, options)).then(summary),

  startSync: (name: string, url: string, options?: Options) => {
    const sync = db(name).sync(new PouchDB(url, options), {
      live: true,
      retry: true,
      back_off_function: (delay) => (delay === 0 ? 50 : Math.min(delay * 2, 400)),
    });
    for (const event of ['error', 'denied'] as const)
      void sync.on(event, (what) => problems.push(String(what)));
    syncs.set(name, sync);
  },

  stopSync: async (name: string) => {
    const sync = syncs.get(name);
    sync?.cancel();
    await sync;
  },

  problems: () => problems,

  leaves: (name: string) => pouchLeaves(db(name)),

  trees: (name: string) => pouchTrees(db(name)),

  /** Calls a function that pouchdb-authentication adds to databases; a refusal is an answer, too. */
  authenticate: async (url: string, name: keyof Authentication, ...args: unknown[]): Promise<Answer> => {
    const remote = new PouchDB(url, { skip_setup: true }) as unknown as Authentication;
    const call = remote[name] as (...given: unknown[]) => Promise<Answer>;
    return await call.apply(remote, args).catch((error: unknown) => error as Answer);
  },

  /** A request as an app makes it, with its cookies. */
  fetch: async (url: string, options: { method?: string; body?: object } = {}) => {
    const answer = await fetch(url, {
      method: options.method ?? 'GET',
      credentials: 'include',
      headers: { 'content-type': 'application/json' },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    });
    return { status: answer.status, body: await answer.json() };
  },
};

function summary({
  ok,
  docs_written,
  doc_write_failures,
  errors,
}: Awaited<ReturnType<PouchDB['replicate']['to']>>) {
  return { ok, docs_written, doc_write_failures, errors: errors.length };
}

export type PageApi = typeof api;

Object.assign(globalThis, { causeway: api });
