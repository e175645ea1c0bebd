import { CHUNK_SIZE } from './stream.js';

/** The form in which CouchDB sends rows, a line for each. */

/**
 * What stands above the rows.
 * @param updateSeq left out where undefined
 * @param counts of the listing; reductions have none
 */
export function head(
  updateSeq: string | null | undefined,
  counts?: { readonly total: number | null; readonly offset: number | null },
): string {
  const totals =
    counts === undefined ? '' : `"total_rows":${String(counts.total)},"offset":${String(counts.offset)},`;
  const seq = updateSeq === undefined ? '' : `"update_seq":${JSON.stringify(updateSeq)},`;
  return `{${totals}${seq}"rows":[\r\n`;
}

/** Puts rows together to chunks of some size. */
export async function* table<T>(
  first: string,
  pages: AsyncIterable<readonly T[]>,
  rowOf: (row: T) => string,
): AsyncGenerator<string> {
  let chunk = first;
  let separator = '';
  for await (const page of pages) {
    for (const row of page) {
      chunk += separator + rowOf(row);
      separator = ',\r\n';
      if (chunk.length < CHUNK_SIZE) continue;
      yield chunk;
      chunk = '';
    }
  }
  yield `${chunk}\r\n]}`;
}

/** The answers to several queries, one after the other. */
export async function* results(answers: readonly (() => AsyncIterable<string>)[]): AsyncGenerator<string> {
  let separator = '{"results":[\r\n';
  for (const answer of answers) {
    yield separator;
    yield* answer();
    separator = ',\r\n';
  }
  yield answers.length === 0 ? '{"results":[\r\n]}\n' : '\r\n]}\n';
}

export async function* withLineEnd(texts: AsyncIterable<string>): AsyncGenerator<string> {
  yield* texts;
  yield '\n';
}
