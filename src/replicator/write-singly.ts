import { CouchError } from '../errors.js';
import type { Database, DocumentEdit, EditResult, WriteOptions } from '../store/types.js';

/**
 * Writes the edits that may be written.
 * @param judge the edit as it is to be written. @throws CouchError for one that may not; the others are written then
 */
export async function writeSingly(
  db: Database,
  edits: readonly DocumentEdit[],
  options: WriteOptions,
  judge: (edit: DocumentEdit) => DocumentEdit,
): Promise<EditResult[]> {
  const judged = edits.map((edit) => judgedBy(judge, edit));
  const taken = judged.flatMap((one) => ('edit' in one ? [one.edit] : []));
  const written = taken.length === 0 ? [] : await db.write(taken, options);
  let next = 0;
  return judged.map((one) => {
    const result = 'edit' in one ? written[next++] : { ok: false as const, error: one.error };
    if (result === undefined) throw new TypeError('the store gave no result for an edit');
    return result;
  });
}

type Judged = { readonly edit: DocumentEdit } | { readonly error: CouchError };

function judgedBy(judge: (edit: DocumentEdit) => DocumentEdit, edit: DocumentEdit): Judged {
  try {
    return { edit: judge(edit) };
  } catch (error) {
    if (error instanceof CouchError && error.status < 500) return { error };
    throw error;
  }
}
