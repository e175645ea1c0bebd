import { badRequest, conflict as changed, notFound } from '../errors.js';
import { quote } from '../json/quote.js';
import type { Database } from '../store/types/database.js';
import { conflictJson } from './foreign.js';
import { LoadedDocument, MOST_CHARACTERS } from './loaded.js';
import { writesOf } from './resolver.js';
import type { Merge } from './rules.js';
import { answerTo } from './sources/asking.js';
import { CageUnavailable } from './sources/cage.js';
import type { ConflictText, Decision, ResolutionText, ResolvedWrites } from './types.js';

// What a merge function would make of a document in conflict. Nothing is written.

/**
 * What a function would be given: the text of a `Conflict`.
 * @throws CouchError 404 where there is no document, 409 where no function would be asked about it
 */
export async function conflictGiven(db: Database, id: string): Promise<string> {
  const decision = await decided(db, id, true);
  if (decision.kind !== 'merge') throw changed(reasonOf(decision));
  return conflictJson(db.name, decision.conflict);
}

/**
 * JSON text of what a function would make of a document.
 * @throws CouchError 404 where there is no document
 */
export async function preview(db: Database, id: string, merge: Merge): Promise<string> {
  const decision = await decided(db, id, merge.equalIsSame);
  if (decision.kind !== 'merge') return undecided(decision);
  return shown(decision.conflict, () => merge.ask(decision.conflict));
}

/**
 * The same for what a function returned that ran elsewhere.
 * @param returned JSON text of it
 */
export async function previewOf(db: Database, id: string, returned: string): Promise<string> {
  const decision = await decided(db, id, true);
  if (decision.kind !== 'merge') return undecided(decision);
  return shown(decision.conflict, () => answerTo(decision.conflict, returned));
}

async function decided(db: Database, id: string, equalIsSame: boolean): Promise<Decision> {
  const record = db.get(id);
  if (record === undefined) throw notFound();
  const document = new LoadedDocument(db, record);
  if (document.bound > MOST_CHARACTERS) throw badRequest('Its leaves are too large to be merged.');
  return document.decide(equalIsSame);
}

const undecided = (decision: Exclude<Decision, { kind: 'merge' }>): string =>
  JSON.stringify({ outcome: decision.kind, reason: reasonOf(decision) });

function reasonOf(decision: Exclude<Decision, { kind: 'merge' }>): string {
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

async function shown(conflict: ConflictText, resolve: () => Promise<ResolutionText>): Promise<string> {
  const leaves = conflict.leaves.map(({ rev }) => rev);
  try {
    const resolution = await resolve();
    if (resolution.kind === 'defer') {
      const { reason, paths = [] } = resolution;
      return JSON.stringify({ outcome: 'defer', reason, paths, leaves });
    }
    const writes = await writesOf(conflict, resolution);
    const head = JSON.stringify({ outcome: resolution.kind, leaves }).slice(0, -1);
    const documents = writes.documents.map((one) => textOf(one.id, one));
    return `${head},"doc":${textOf(conflict.id, writes.merged)},"documents":[${documents.join(',')}]}`;
  } catch (error) {
    if (error instanceof CageUnavailable) throw error;
    return JSON.stringify({ outcome: 'failed', reason: (error as Error).message, leaves });
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
