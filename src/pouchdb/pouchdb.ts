import http from 'pouchdb-adapter-http';
import core from 'pouchdb-core';
import mapreduce from 'pouchdb-mapreduce';
import replication from 'pouchdb-replication';
import { adapter } from './adapter.js';
import type { OpenOptions, PouchConstructor, PouchDatabase } from './types.js';

/**
 * PouchDB as pouchdb-node has it (HTTP, views, replication), with our store in place of its LevelDB. It is a class of
 * its own: that of an application that uses pouchdb-node stays as it is.
 */
export const PouchDB = core as PouchConstructor;

PouchDB.adapter('causeway', adapter, true);
// Whoever names PouchDB's adapter must not get its LevelDB beside ours: both would write, and destroy the directory.
PouchDB.adapter('leveldb', adapter, false);
PouchDB.plugin(http).plugin(mapreduce).plugin(replication);

/**
 * Opens the database in a directory of PouchDB's LevelDB layout; it is made where there is none. Like any PouchDB it can
 * be used at once: where the directory cannot be opened, because another process has it open, the first call says so.
 * @throws TypeError for what is no directory
 */
export function openDatabase(dir: string, options: OpenOptions = {}): PouchDatabase {
  if (typeof dir !== 'string' || dir === '')
    throw new TypeError('openDatabase needs the path of a directory');
  if (/^https?:\/\//i.test(dir))
    throw new TypeError('openDatabase opens directories; a database of a server is new PouchDB(URL)');
  return new PouchDB(dir, { ...options, adapter: 'causeway' });
}
