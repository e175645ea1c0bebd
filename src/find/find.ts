import { moving } from '../json/exact.js';
import { inTurns, Turns, type Work } from '../json/turns.js';
import { parsing } from '../json/values.js';
import { compileFields } from '../selector/fields.js';
import { type Matcher, matcherOf } from '../selector/match.js';
import type { Json } from '../selector/types.js';
import { settled } from '../selector/verdict.js';
import { bookmarkOf, NO_BOOKMARK, parseBookmark, type Position } from './bookmark.js';
import { askedName, isAsked, type Plan, type Runnable } from './plan.js';
import { foundRows, type FoundRow, type Source } from './rows.js';
import type { FindQuery } from './types.js';

/** How much is put together before it is sent. */
const CHUNK_SIZE = 65_536;

/** How many documents are read in vain for each result before the client is told. */
const WARNED_RATIO = 10;

/** What a query took. */
interface Effort {
  keys: number;
  documents: number;
  results: number;
}

/**
 * The answer to a query as JSON text, in pieces. Nothing comes before it is known that there is one.
 * @param signal fires when nobody waits for the answer any more
 * @throws CouchError
 */
export async function* find(
  source: Source,
  plan: Runnable,
  query: FindQuery,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const started = performance.now();
  const after = query.bookmark === undefined ? undefined : parseBookmark(query.bookmark);
  const effort: Effort = { keys: 0, documents: 0, results: 0 };
  let last: Position | undefined;
  let chunk = '{"docs":[';
  let separator = '\r\n';
  for await (const { row, text } of results(source, plan, query, after, effort, signal)) {
    last = row;
    if (text === undefined) continue;
    chunk += separator + text;
    separator = ',\r\n';
    if (chunk.length < CHUNK_SIZE) continue;
    yield chunk;
    chunk = '';
  }
  const bookmark = last === undefined ? (query.bookmark ?? NO_BOOKMARK) : bookmarkOf(last);
  chunk += `\r\n],\r\n"bookmark": ${JSON.stringify(bookmark)}`;
  if (query.executionStats) chunk += `,\r\n"execution_stats": ${statistics(effort, query, started)}`;
  const warning = warningsOf(plan, query, effort).join('\n');
  if (warning !== '') chunk += `,\r\n"warning": ${JSON.stringify(warning)}`;
  yield `${chunk}}\r\n`;
}

/** A row whose document fits, and what is shown of it; nothing is of those that are skipped. */
interface Result {
  readonly row: Position;
  readonly text: string | undefined;
}

async function* results(
  source: Source,
  plan: Runnable,
  query: FindQuery,
  after: Position | undefined,
  effort: Effort,
  signal: AbortSignal,
): AsyncGenerator<Result> {
  if (plan.isEmpty || query.limit === 0) return;
  const fits = matcherOf(query.selector);
  const project = compileFields(query.fields);
  const turns = new Turns();
  let skip = query.skip;
  for await (const page of foundRows(source, plan, query, after)) {
    for (const row of page) {
      const found = inTurns(examine(row, plan, effort, fits));
      const document = found instanceof Promise ? await found : found;
      if (document !== undefined) {
        const isShown = skip-- <= 0;
        yield { row, text: isShown ? await inTurns(show(row, document, project)) : undefined };
        if (isShown && ++effort.results >= query.limit) return;
      }
      await turns.pass();
    }
    if (signal.aborted) return;
  }
}

/**
 * The document of a row as far as it is known; undefined for none, for one that does not fit, and for design documents, which
 * are never found.
 */
function* examine(
  { id, text, isWhole }: FoundRow,
  { index }: Plan,
  effort: Effort,
  fits: Matcher,
): Work<Json | undefined> {
  effort.keys++;
  if (text === undefined) return undefined;
  if (isWhole) effort.documents++;
  if (index?.type === 'special' && id.startsWith('_design/')) return undefined;
  const document = (yield* parsing(text)) as Json;
  return (yield* settled(fits(document))) ? document : undefined;
}

function* show(
  { text = '' }: FoundRow,
  document: Json,
  project: ((document: Json) => Json) | undefined,
): Work<string> {
  return project === undefined ? text : yield* moving(text, (whole) => project(whole as Json), document);
}

// ---- what else is told ----------------------------------------------------------------------------------------

function statistics({ keys, documents, results: found }: Effort, { r }: FindQuery, started: number): string {
  return JSON.stringify({
    total_keys_examined: keys,
    total_docs_examined: r > 1 ? 0 : documents,
    total_quorum_docs_examined: r > 1 ? documents : 0,
    results_returned: found,
    execution_time_ms: Math.round((performance.now() - started) * 1000) / 1000,
  });
}

function warningsOf(
  plan: Runnable,
  { useIndex }: FindQuery,
  { documents, results: found }: Effort,
): readonly string[] {
  const warnings: string[] = [];
  if (plan.isEmpty) return warnings;
  if (useIndex.length > 0 && !isAsked(plan.index, useIndex)) {
    const why =
      useIndex.length === 1
        ? 'it does not contain a valid index for this query.'
        : 'it is not a valid index for this query.';
    warnings.push(`${askedName(useIndex)} was not used because ${why}`);
  }
  if (plan.index.type === 'special') {
    warnings.push('No matching index found, create an index to optimize query time.');
  }
  if (documents / Math.max(1, found) > WARNED_RATIO) {
    warnings.push(
      'The number of documents examined is high in proportion to the number of results returned. ' +
        'Consider adding a more specific index to improve this.',
    );
  }
  return warnings;
}
