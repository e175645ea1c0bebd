import { setTimeout as pause } from 'node:timers/promises';
import { bodyOf } from '../auth/users/password-members.js';
import { members } from '../json/text.js';
import type { Databases } from '../store/databases.js';
import { editOf } from '../store/document.js';
import type { Database } from '../store/types/database.js';
import { isNoReplication, membersOf, type Members } from './documents.js';
import { iso8601 } from './shown.js';

/** What the replicator writes into documents; `undefined` takes a member away. */
export interface StateFields {
  readonly _replication_state: 'completed' | 'failed' | undefined;
  readonly _replication_state_reason: string | undefined;
  readonly _replication_stats: Members | undefined;
  readonly _replication_id?: undefined;
}

/** A document that failed says why, and nothing of how far it came. */
export const failedState = (reason: string): StateFields => ({
  _replication_state: 'failed',
  _replication_state_reason: reason,
  _replication_stats: undefined,
});

export const completedState = (stats: Members): StateFields => ({
  _replication_state: 'completed',
  _replication_state_reason: undefined,
  _replication_stats: stats,
});

/** What servers of old wrote of replications that were not at their end. */
export const NO_STATE: StateFields = {
  _replication_state: undefined,
  _replication_state_reason: undefined,
  _replication_stats: undefined,
  _replication_id: undefined,
};

/** How often a write is tried again that came second. */
const TRIES = 10;
const PAUSE_MS = 20;

/**
 * Writes how a replication ended into its document.
 * @param isMeant whether a document is still the one that the state is of: somebody may have changed it meanwhile
 * @throws CouchError where the store fails
 */
export async function writeState(
  databases: Databases,
  { database, id }: { readonly database: string; readonly id: string },
  fields: StateFields,
  isMeant: (document: Members) => boolean,
): Promise<void> {
  if (isNoReplication(id)) return;
  await databases.use(database, async (db) => {
    for (let tries = 0; tries < TRIES; tries++) {
      if (await tryToWrite(db, id, fields, isMeant)) return;
      await pause(PAUSE_MS * 2 ** tries);
    }
  });
}

/** @returns false where somebody else was faster */
async function tryToWrite(
  db: Database,
  id: string,
  fields: StateFields,
  isMeant: (document: Members) => boolean,
): Promise<boolean> {
  const record = db.get(id);
  const text = record?.deleted === false ? db.read(record, record.winner) : undefined;
  if (record === undefined || text === undefined || !isMeant(membersOf(text))) return true;
  const { attachments, body } = editOf(text, 'stub');
  const texts = members(`{${body}}`) ?? new Map<string, string>();
  const revisions = record.revisions(record.winner);
  if (revisions === undefined || !changeState(texts, fields)) return true;
  const edit = {
    id,
    revisions: { start: revisions.start, ids: revisions.ids.slice(0, 1) },
    deleted: false,
    body: bodyOf(texts),
    ...(attachments && { attachments }),
  };
  const [result] = await db.write([edit], { newEdits: true });
  if (result?.ok === false && result.error.status !== 409) throw result.error;
  return result?.ok ?? false;
}

/** @returns whether anything is another than it was */
function changeState(texts: Map<string, string>, fields: StateFields): boolean {
  const before = bodyOf(texts);
  const former = texts.get('_replication_state');
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) texts.delete(name);
    else texts.set(name, JSON.stringify(value));
  }
  const state = texts.get('_replication_state');
  if (state === undefined) texts.delete('_replication_state_time');
  else if (state !== former) texts.set('_replication_state_time', JSON.stringify(iso8601(Date.now())));
  return bodyOf(texts) !== before;
}
