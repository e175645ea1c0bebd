import { CHUNK_SIZE } from './stream.js';

/** The form in which CouchDB sends rows, a line for each. */

/** What stands above the rows. */
export interface Head {
  /** Left out where undefined. */
  readonly updateSeq: string | null | undefined;
  /** Of the listing; reductions have none. */
  readonly counts: { readonly total: number | null; readonly offset: number | null } | undefined;
}

/** What is listed. */
export interface Table extends Head {
  /** Rows as JSON, in which bytes of attachments are but marked. Must be iterated to its end or `return`ed. */
  readonly pages: AsyncIterable<readonly string[]>;
}

/** Its members as JSON. */
export function headMembers({ updateSeq, counts }: Head): readonly string[] {
  const totals =
    counts === undefined ? [] : [`"total_rows":${String(counts.total)}`, `"offset":${String(counts.offset)}`];
  return updateSeq === undefined ? totals : [...totals, `"update_seq":${JSON.stringify(updateSeq)}`];
}

/** Rows of what is read page by page. */
export async function* rowsOf<T>(
  pages: AsyncIterable<readonly T[]>,
  rowOf: (item: T) => string,
): AsyncGenerator<readonly string[]> {
  for await (const page of pages) yield page.map(rowOf);
}

/** Puts rows together to chunks of some size. */
export async function* tableText({ pages, ...above }: Table): AsyncGenerator<string> {
  let chunk = `{${[...headMembers(above), '"rows":[\r\n'].join(',')}`;
  let separator = '';
  for await (const page of pages) {
    for (const row of page) {
      chunk += separator + row;
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
