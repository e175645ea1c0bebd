import { CouchError } from '../errors.js';
import type { Database } from '../store/types/database.js';
import type { DocumentEdit, EditResult, WriteOptions } from '../store/types/edits.js';

/**
 * Writes the edits that may be written.
 * @param judge the edit as it is to be written. @throws CouchError for one that may not; the others are written then
 */
export async function writeSingly(
  db: Database,
  edits: readonly DocumentEdit[],
  options: WriteOptions,
  judge: Judge,
): Promise<EditResult[]> {
  const judged: Judged[] = [];
  for (const edit of edits) judged.push(await judgedBy(judge, edit));
  const taken = judged.flatMap((one) => ('edit' in one ? [one.edit] : []));
  const written = taken.length === 0 ? [] : await db.write(taken, options);
  let next = 0;
  return judged.map((one) => {
    const result = 'edit' in one ? written[next++] : { ok: false as const, error: one.error };
    if (result === undefined) throw new TypeError('the store gave no result for an edit');
    return result;
  });
}

type Judge = (edit: DocumentEdit) => DocumentEdit | Promise<DocumentEdit>;
type Judged = { readonly edit: DocumentEdit } | { readonly error: CouchError };

async function judgedBy(judge: Judge, edit: DocumentEdit): Promise<Judged> {
  try {
    return { edit: await judge(edit) };
  } catch (error) {
    if (error instanceof CouchError && error.status < 500) return { error };
    throw error;
  }
}
