import { createError, MISSING_DOC, type PouchError, REV_CONFLICT } from 'pouchdb-errors';
import type { LevelDatabase } from '../store/level-database.js';
import type { Transaction } from '../store/transaction.js';
import type { Doc, WriteOk } from './api.js';

export const isLocalId = (id: unknown): boolean => typeof id === 'string' && id.startsWith('_local/');

/** A local document. @throws PouchError 404 */
export function getLocal(database: LevelDatabase, id: string): Doc {
  const local = database.getLocal(id);
  if (local === undefined) throw createError(MISSING_DOC);
  return JSON.parse(local.text) as Doc;
}

/** Unlike CouchDB, PouchDB refuses a revision that is not the stored one. @throws PouchError 409 */
export async function putLocal(database: LevelDatabase, doc: Doc): Promise<WriteOk> {
  const { _id: id, _rev: before, ...own } = doc;
  delete own._revisions;
  const rev = `0-${String(numberOf(before) + 1)}`;
  const text = JSON.stringify({ _id: id, _rev: rev, ...own });
  await writeLocal(database, text.length, (transaction) => {
    if (storedRev(transaction, id) !== (before ?? undefined)) return createError(REV_CONFLICT);
    transaction.locals.put(id, text);
    return undefined;
  });
  return { ok: true, id, rev };
}

/** @throws PouchError 404, 409 */
export async function removeLocal(database: LevelDatabase, { _id: id, _rev: rev }: Doc): Promise<WriteOk> {
  await writeLocal(database, 0, (transaction) => {
    const stored = storedRev(transaction, id);
    if (stored === undefined) return createError(MISSING_DOC);
    if (stored !== rev) return createError(REV_CONFLICT);
    transaction.locals.delete(id);
    return undefined;
  });
  return { ok: true, id, rev: '0-0' };
}

/** @param write returns why nothing is written */
async function writeLocal(
  database: LevelDatabase,
  weight: number,
  write: (transaction: Transaction) => PouchError | undefined,
): Promise<void> {
  let refusal: PouchError | undefined;
  await database.transact({
    ids: [],
    weight,
    run: (transaction) => {
      refusal = write(transaction);
    },
  });
  if (refusal !== undefined) throw refusal;
}

function storedRev(transaction: Transaction, id: string): string | undefined {
  const text = transaction.locals.get(id);
  return text === undefined ? undefined : (JSON.parse(text) as Doc)._rev;
}

const numberOf = (rev: string | undefined): number => Number.parseInt(rev?.split('-')[1] ?? '0', 10);
