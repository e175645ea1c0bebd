import type { AddResource } from './index.js';
import { badRequest, conflict, CouchError } from '../../errors.js';
import { inChunks } from '../../json/chunks.js';
import { quote } from '../../json/quote.js';
import { JsonReader } from '../../json/reader.js';
import { inTurns, nextTurn, Turns, type Work } from '../../json/turns.js';
import { isWhole, type ParsedDocument, readDocument } from '../../store/document.js';
import type { Database } from '../../store/types/database.js';
import type { DocumentEdit, EditResult } from '../../store/types/edits.js';
import type { Exchange } from '../exchange.js';
import { Intake } from '../intake.js';
import { json, onDatabase } from '../resource.js';
import { sendStream } from '../stream.js';
import { checkWrite, isLocal, lacksParent, looksForParents, writeLocal } from '../writes.js';

export function bulkRoutes(add: AddResource): void {
  add({
    path: '/:db/_bulk_docs',
    allow: 'POST',
    methods: { POST: json(onDatabase('member', bulkDocs)) },
    other: onDatabase('member'),
  });
}

interface Batch {
  readonly docs: readonly ParsedDocument[];
  readonly newEdits: boolean;
  /** What CouchDB could do before it had clusters. */
  readonly allOrNothing: boolean;
}

const NO_ATOMIC_BATCH = new CouchError(417, 'not_implemented', 'all_or_nothing is not supported');

/** So many documents are read before others may have their turn. */
const TURN = 500;

/** What became of one document of a batch. */
type Outcome = { readonly rev: string } | { readonly error: CouchError };

async function bulkDocs(exchange: Exchange, db: Database): Promise<void> {
  const { status, rows } = await perform(exchange, db, await exchange.bodyText());
  if (rows.length <= FEW_ROWS) {
    exchange.json(status, `[${rows.join(',')}]`);
  } else {
    await sendStream(exchange, () => inChunks(arrayOf(rows)), { status });
  }
}

/** An answer of up to so many rows is put together at once. */
const FEW_ROWS = 1000;

/** What is answered. A client may take its time to read it, so it holds on to nothing of the batch. */
interface Answer {
  readonly status: number;
  readonly rows: readonly string[];
}

async function perform(exchange: Exchange, db: Database, text: string): Promise<Answer> {
  const { docs, newEdits, allOrNothing } = await inTurns(readBatch(exchange, text));
  if (newEdits && allOrNothing && docs.length > 0) {
    const outcomes = Array<Outcome>(docs.length).fill({ error: NO_ATOMIC_BATCH });
    return { status: 417, rows: await inTurns(failedRows(docs, outcomes)) };
  }
  const outcomes = await Intake.during(exchange, db, async (intake) =>
    writeBatch(exchange, db, await withAttachments(docs, intake, newEdits), newEdits),
  );
  const rows = newEdits ? allRows(docs, outcomes) : failedRows(docs, outcomes);
  return { status: 201, rows: await inTurns(rows) };
}

/** The documents with their attachments taken in. */
async function withAttachments(
  docs: readonly ParsedDocument[],
  intake: Intake,
  newEdits: boolean,
): Promise<readonly DocumentEdit[]> {
  const edits: DocumentEdit[] = [];
  for (const document of docs) {
    edits.push(isWhole(document) ? document : await intake.edit(document, newEdits));
  }
  return edits;
}

// ---- reading --------------------------------------------------------------------------------------------------

/** Takes the documents out of the body in one pass. The first that is wrong spoils the batch. @throws CouchError */
function* readBatch(exchange: Exchange, text: string): Work<Batch> {
  const reader = new JsonReader(text);
  if (reader.peek() !== 'object') {
    yield* reader.skip();
    reader.end();
    throw badRequest('Request body must be a JSON object');
  }
  let docs: readonly ParsedDocument[] | CouchError = badRequest('POST body must include `docs` parameter.');
  let newEdits = 'true';
  let allOrNothing = 'false';
  reader.openObject();
  for (let name = reader.nextMember(); name !== undefined; name = reader.nextMember()) {
    if (name === 'docs') docs = yield* readDocs(exchange, reader);
    else if (name === 'new_edits') newEdits = yield* reader.readLongText();
    else if (name === 'all_or_nothing') allOrNothing = yield* reader.readLongText();
    else yield* reader.skip();
    yield;
  }
  reader.end();
  return { ...checkBatch(docs, newEdits), allOrNothing: allOrNothing === 'true' };
}

/** @param newEdits the text of what the client gave */
function checkBatch(
  docs: readonly ParsedDocument[] | CouchError,
  newEdits: string,
): Omit<Batch, 'allOrNothing'> {
  if (docs instanceof CouchError) throw docs;
  if (newEdits === 'false' && docs.some(({ revisions }) => revisions.ids.length === 0)) {
    throw badRequest('When `new_edits: false`, the document needs `_rev` or `_revisions` specified');
  }
  if (newEdits !== 'true' && newEdits !== 'false')
    throw badRequest('`new_edits` parameter must be a boolean.');
  return { docs, newEdits: newEdits === 'true' };
}

function* readDocs(exchange: Exchange, reader: JsonReader): Work<readonly ParsedDocument[] | CouchError> {
  if (reader.peek() !== 'array') {
    yield* reader.skip();
    return badRequest('`docs` parameter must be an array.');
  }
  const { server } = exchange;
  // Whether edits are replicated may only be said behind the documents; it makes no difference to their parsing.
  const options = {
    newEdits: true,
    makeId: () => server.uuids.next(),
    ...server.documents,
  };
  const edits: ParsedDocument[] = [];
  let wrong: CouchError | undefined;
  reader.openArray();
  while (reader.nextElement()) {
    if (wrong !== undefined) {
      yield* reader.skip();
    } else {
      try {
        edits.push(yield* readDocument(reader, options));
      } catch (error) {
        if (!(error instanceof CouchError)) throw error;
        wrong = error;
      }
    }
    // Empty documents have few characters to tell the time by.
    if (reader.isTime() || edits.length % TURN === 0) yield;
  }
  return wrong ?? edits;
}

// ---- writing --------------------------------------------------------------------------------------------------

async function writeBatch(
  exchange: Exchange,
  db: Database,
  edits: readonly DocumentEdit[],
  newEdits: boolean,
): Promise<readonly Outcome[]> {
  const refused = await refusals(exchange, db, edits);
  const { outcomes, locals, others } = await inTurns(judge(db, edits, newEdits, refused));
  // These come first: what spoils the batch has nothing written.
  if (others.length > 0) {
    const chosen = others.map(({ edit }) => edit);
    const results = await db.write(chosen, { newEdits });
    await inTurns(settle(outcomes, others, results));
  }
  for (const [index, { at, edit }] of locals.entries()) {
    outcomes[at] = await localOutcome(db, edit);
    // Where there is nothing to write it does not wait for anything.
    if (index % LOCALS === LOCALS - 1) await nextTurn();
  }
  return outcomes;
}

/** So many local documents are written before others get their turn. */
const LOCALS = 100;

/** An edit and its place in the batch. */
interface Placed {
  readonly at: number;
  readonly edit: DocumentEdit;
}

interface Judged {
  /** Of those that are not to be written. */
  readonly outcomes: Outcome[];
  readonly locals: readonly Placed[];
  readonly others: readonly Placed[];
}

function* judge(
  db: Database,
  edits: readonly DocumentEdit[],
  newEdits: boolean,
  refused: ReadonlyMap<number, CouchError>,
): Work<Judged> {
  const outcomes = new Array<Outcome>(edits.length);
  const locals: Placed[] = [];
  const others: Placed[] = [];
  const strict = newEdits && looksForParents(db, edits);
  for (const [at, edit] of edits.entries()) {
    const refusal = refused.get(at);
    if (refusal !== undefined) outcomes[at] = { error: refusal };
    else if (isLocal(edit.id)) locals.push({ at, edit });
    else if (strict && lacksParent(db, edit)) outcomes[at] = { error: conflict() };
    else others.push({ at, edit });
    yield;
  }
  return { outcomes, locals, others };
}

/** Takes over what the store says of each edit. */
function* settle(
  outcomes: Outcome[],
  written: readonly Placed[],
  results: readonly EditResult[],
): Work<void> {
  for (const [index, { at }] of written.entries()) {
    const result = results[index];
    if (result === undefined) throw new TypeError('the store gave no result for an edit');
    if (!result.ok && result.error.status === 412) throw result.error;
    outcomes[at] = result.ok ? { rev: result.rev } : { error: result.error };
    yield;
  }
}

/** A local document whose revision is none spoils only its own row. */
async function localOutcome(db: Database, edit: DocumentEdit): Promise<Outcome> {
  try {
    return { rev: await writeLocal(db, edit) };
  } catch (error) {
    if (!(error instanceof CouchError) || error.status !== 400) throw error;
    return { error: new CouchError(400, 'error', error.reason) };
  }
}

/** Why some documents of a batch may not be written, while the others may: by their places. */
async function refusals(
  exchange: Exchange,
  db: Database,
  edits: readonly DocumentEdit[],
): Promise<ReadonlyMap<number, CouchError>> {
  const refused = new Map<number, CouchError>();
  const turns = new Turns();
  for (const [at, edit] of edits.entries()) {
    if (!edit.id.startsWith('_')) continue;
    try {
      await checkWrite(exchange, db, edit);
    } catch (error) {
      if (!(error instanceof CouchError) || error.status >= 500) throw error;
      refused.set(at, error);
    }
    await turns.pass();
  }
  return refused;
}

// ---- answering ------------------------------------------------------------------------------------------------

function* arrayOf(rows: readonly string[]): Generator<string> {
  let separator = '[';
  for (const row of rows) {
    yield separator + row;
    separator = ',';
  }
  yield separator === '[' ? '[]\n' : ']\n';
}

function* allRows(edits: readonly ParsedDocument[], outcomes: readonly Outcome[]): Work<readonly string[]> {
  const rows: string[] = [];
  for (const [at, edit] of edits.entries()) {
    const outcome = outcomes[at];
    const id = quote(edit.id);
    if (outcome === undefined) throw new TypeError('an edit has no outcome');
    rows.push(
      'rev' in outcome
        ? `{"ok":true,"id":${id},"rev":${quote(outcome.rev)}}`
        : `{"id":${id},${errorMembers(outcome.error)}}`,
    );
    yield;
  }
  return rows;
}

/** Replicated edits are told of only where they failed. */
function* failedRows(
  edits: readonly ParsedDocument[],
  outcomes: readonly Outcome[],
): Work<readonly string[]> {
  const rows: string[] = [];
  for (const [at, { id, revisions }] of edits.entries()) {
    const outcome = outcomes[at];
    if (outcome !== undefined && 'error' in outcome) {
      const rev = JSON.stringify(`${String(revisions.start)}-${revisions.ids[0] ?? ''}`);
      rows.push(`{"id":${JSON.stringify(id)},"rev":${rev},${errorMembers(outcome.error)}}`);
    }
    yield;
  }
  return rows;
}

const errorMembers = ({ error, reason }: CouchError): string =>
  `"error":${JSON.stringify(error)},"reason":${JSON.stringify(reason)}`;
