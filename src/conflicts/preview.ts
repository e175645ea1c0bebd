import { badRequest, conflict as changed, notFound } from '../errors.js';
import { quote } from '../json/quote.js';
import type { Database } from '../store/types/database.js';
import { type Considered, mergedBy } from './considering.js';
import { conflictJson } from './foreign.js';
import { LoadedDocument, MOST_CHARACTERS } from './loaded.js';
import type { Merge } from './rules.js';
import { answerTo } from './sources/asking.js';
import type { Decision, ResolvedWrites } from './types.js';

// What a merge function would make of a document in conflict. Nothing is written.

/** No function is asked. */
type Undecided = Exclude<Decision, { readonly kind: 'merge' }>;

/**
 * What a function would be given: the text of a `Conflict`.
 * @throws CouchError 404 where there is no document, 409 where no function would be asked about it
 */
export async function conflictGiven(db: Database, id: string): Promise<string> {
  const decision = await load(db, id).decide(true);
  if (decision.kind !== 'merge') throw changed(reasonOf(decision));
  return conflictJson(db.name, decision.conflict);
}

/**
 * JSON text of what a function would make of a document.
 * @throws CouchError 404 where there is no document
 */
export async function preview(db: Database, id: string, merge: Merge): Promise<string> {
  const document = load(db, id);
  return shown(document, await merge.consider(document, true));
}

/**
 * The same for what a function returned that ran elsewhere.
 * @param returned JSON text of it
 */
export async function previewOf(db: Database, id: string, returned: string): Promise<string> {
  const document = load(db, id);
  const decision = await document.decide(true);
  if (decision.kind !== 'merge') return shown(document, decision);
  const { conflict } = decision;
  return shown(document, await mergedBy('', conflict, () => answerTo(conflict, returned)));
}

/** @throws CouchError 404 where there is no document, 400 where it is too large */
function load(db: Database, id: string): LoadedDocument {
  const record = db.get(id);
  if (record === undefined) throw notFound();
  const document = new LoadedDocument(db, record);
  if (document.bound > MOST_CHARACTERS) throw badRequest('Its leaves are too large to be merged.');
  return document;
}

function reasonOf(decision: Undecided): string {
  switch (decision.kind) {
    case 'none':
      return 'The document is in no conflict.';
    case 'tidy':
      return 'Some leaves add nothing to others and go without a function being asked.';
    case 'undone':
      return 'A merge of its leaves was undone.';
    case 'wait':
    case 'defer':
      return decision.reason;
  }
}

function shown({ record, live: leaves }: LoadedDocument, considered: Considered): string {
  switch (considered.kind) {
    case 'merged': {
      const { outcome, writes } = considered;
      const head = JSON.stringify({ outcome, leaves }).slice(0, -1);
      const documents = writes.documents.map((one) => textOf(one.id, one));
      return `${head},"doc":${textOf(record.id, writes.merged)},"documents":[${documents.join(',')}]}`;
    }
    case 'unmerged': {
      const { hasFailed, reason, paths = [] } = considered;
      return JSON.stringify(
        hasFailed ? { outcome: 'failed', reason, leaves } : { outcome: 'defer', reason, paths, leaves },
      );
    }
    case 'unasked':
      throw new Error('a function was to be asked');
    default:
      return JSON.stringify({ outcome: considered.kind, reason: reasonOf(considered) });
  }
}

/** A document as it would be written, with stubs of what it has attached. */
function textOf(
  id: string,
  { rev, body, attachments, ...rest }: ResolvedWrites['merged'] | ResolvedWrites['documents'][number],
): string {
  const deleted = 'deleted' in rest && rest.deleted ? ',"_deleted":true' : '';
  const own = body === '' ? '' : `,${body}`;
  const stubs = Array.from(attachments, ([name, { contentType, digest, length }]) => {
    const stub = { content_type: contentType, digest, length, stub: true };
    return `${quote(name)}:${JSON.stringify(stub)}`;
  });
  const attached = stubs.length === 0 ? '' : `,"_attachments":{${stubs.join(',')}}`;
  return `{"_id":${quote(id)},"_rev":${quote(rev)}${deleted}${own}${attached}}`;
}
