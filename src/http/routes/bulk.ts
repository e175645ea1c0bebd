import type { AddResource } from './index.js';
import { badRequest, conflict, CouchError } from '../../errors.js';
import { JsonReader } from '../../json/reader.js';
import { parseDocument } from '../../store/document.js';
import type { Database, DocumentEdit } from '../../store/types.js';
import type { Exchange } from '../exchange.js';
import { json, onDatabase } from '../resource.js';
import {
  checkWrite,
  isDesign,
  isLocal,
  lacksParent,
  looksForParents,
  requireNoValidators,
  writeLocal,
} from '../writes.js';

export function bulkRoutes(add: AddResource): void {
  add({
    path: '/:db/_bulk_docs',
    allow: 'POST',
    methods: { POST: json(onDatabase('member', bulkDocs)) },
    other: onDatabase('member'),
  });
}

interface Batch {
  readonly edits: readonly DocumentEdit[];
  readonly newEdits: boolean;
  /** What CouchDB could do before it had clusters. */
  readonly allOrNothing: boolean;
}

const NO_ATOMIC_BATCH = new CouchError(417, 'not_implemented', 'all_or_nothing is not supported');

/** What became of one document of a batch. */
type Outcome = { readonly rev: string } | { readonly error: CouchError };

async function bulkDocs(exchange: Exchange, db: Database): Promise<void> {
  const { edits, newEdits, allOrNothing } = readBatch(exchange, await exchange.bodyText());
  if (newEdits && allOrNothing && edits.length > 0) {
    exchange.json(417, failedRows(edits, Array<Outcome>(edits.length).fill({ error: NO_ATOMIC_BATCH })));
    return;
  }
  if (edits.some(({ id }) => !isDesign(id) && !isLocal(id))) requireNoValidators(db);
  const outcomes = await writeBatch(exchange, db, edits, newEdits);
  exchange.json(201, newEdits ? allRows(edits, outcomes) : failedRows(edits, outcomes));
}

// ---- reading --------------------------------------------------------------------------------------------------

/** Takes the documents out of the body in one pass. The first that is wrong spoils the batch. @throws CouchError */
function readBatch(exchange: Exchange, text: string): Batch {
  const reader = new JsonReader(text);
  if (reader.peek() !== 'object') {
    reader.readText();
    reader.end();
    throw badRequest('Request body must be a JSON object');
  }
  let docs: readonly DocumentEdit[] | CouchError = badRequest('POST body must include `docs` parameter.');
  let newEdits: unknown = true;
  let allOrNothing: unknown = false;
  reader.readObject((name) => {
    if (name === 'docs') docs = readDocs(exchange, reader);
    else if (name === 'new_edits') newEdits = reader.readValue();
    else if (name === 'all_or_nothing') allOrNothing = reader.readValue();
    else reader.readText();
  });
  reader.end();
  return { ...checkBatch(docs, newEdits), allOrNothing: allOrNothing === true };
}

function checkBatch(
  docs: readonly DocumentEdit[] | CouchError,
  newEdits: unknown,
): Omit<Batch, 'allOrNothing'> {
  if (docs instanceof CouchError) throw docs;
  if (newEdits === false && docs.some(({ revisions }) => revisions.ids.length === 0)) {
    throw badRequest('When `new_edits: false`, the document needs `_rev` or `_revisions` specified');
  }
  if (typeof newEdits !== 'boolean') throw badRequest('`new_edits` parameter must be a boolean.');
  return { edits: docs, newEdits };
}

function readDocs(exchange: Exchange, reader: JsonReader): readonly DocumentEdit[] | CouchError {
  if (reader.peek() !== 'array') {
    reader.readText();
    return badRequest('`docs` parameter must be an array.');
  }
  const { server } = exchange;
  // Whether edits are replicated may only be said behind the documents; it makes no difference to their parsing.
  const options = {
    newEdits: true,
    makeId: () => server.uuids.next(),
    maxSize: server.config.limits.maxDocumentSize,
  };
  const edits: DocumentEdit[] = [];
  let wrong: CouchError | undefined;
  reader.readArray(() => {
    try {
      edits.push(parseDocument(reader, options));
    } catch (error) {
      if (!(error instanceof CouchError)) throw error;
      wrong ??= error;
    }
  });
  return wrong ?? edits;
}

// ---- writing --------------------------------------------------------------------------------------------------

async function writeBatch(
  exchange: Exchange,
  db: Database,
  edits: readonly DocumentEdit[],
  newEdits: boolean,
): Promise<readonly Outcome[]> {
  const outcomes = new Array<Outcome>(edits.length);
  const chosen: DocumentEdit[] = [];
  const places: number[] = [];
  const strict = newEdits && looksForParents(db, edits);
  for (const [at, edit] of edits.entries()) {
    const refusal = edit.id.startsWith('_') ? refused(exchange, db, edit) : undefined;
    if (refusal !== undefined) outcomes[at] = { error: refusal };
    else if (isLocal(edit.id)) outcomes[at] = await localOutcome(db, edit);
    else if (strict && lacksParent(db, edit)) outcomes[at] = { error: conflict() };
    else places[chosen.push(edit) - 1] = at;
  }
  const results = chosen.length === 0 ? [] : await db.write(chosen, { newEdits });
  for (const [index, result] of results.entries()) {
    if (!result.ok && result.error.status === 412) throw result.error;
    outcomes[places[index] ?? index] = result.ok ? { rev: result.rev } : { error: result.error };
  }
  return outcomes;
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

/** Why one document of a batch may not be written, while the others may. */
function refused(exchange: Exchange, db: Database, edit: DocumentEdit): CouchError | undefined {
  try {
    checkWrite(exchange, db, edit);
    return undefined;
  } catch (error) {
    if (error instanceof CouchError && error.status < 500) return error;
    throw error;
  }
}

// ---- answering ------------------------------------------------------------------------------------------------

function allRows(edits: readonly DocumentEdit[], outcomes: readonly Outcome[]): string {
  let rows = '';
  for (let at = 0; at < edits.length; at++) {
    const outcome = outcomes[at];
    const id = JSON.stringify(edits[at]?.id);
    if (outcome === undefined) throw new TypeError('the store gave no result for an edit');
    const row =
      'rev' in outcome
        ? `{"ok":true,"id":${id},"rev":${JSON.stringify(outcome.rev)}}`
        : `{"id":${id},${errorMembers(outcome.error)}}`;
    rows += at === 0 ? row : `,${row}`;
  }
  return `[${rows}]`;
}

/** Replicated edits are told of only where they failed. */
function failedRows(edits: readonly DocumentEdit[], outcomes: readonly Outcome[]): string {
  const rows: string[] = [];
  for (const [at, { id, revisions }] of edits.entries()) {
    const outcome = outcomes[at];
    if (outcome === undefined || 'rev' in outcome) continue;
    const rev = JSON.stringify(`${String(revisions.start)}-${revisions.ids[0] ?? ''}`);
    rows.push(`{"id":${JSON.stringify(id)},"rev":${rev},${errorMembers(outcome.error)}}`);
  }
  return `[${rows.join(',')}]`;
}

const errorMembers = ({ error, reason }: CouchError): string =>
  `"error":${JSON.stringify(error)},"reason":${JSON.stringify(reason)}`;
