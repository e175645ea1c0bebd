import { shownFor } from './documents.js';
import { notFound } from '../../errors.js';
import type { DocumentExtras } from '../../store/document.js';
import type { AttachmentReader } from '../../store/types/attachments.js';
import type { Database } from '../../store/types/database.js';
import type { DocumentRecord } from '../../store/types/records.js';
import { filled, followedText, shownText, withReader } from '../../store/attachments/text.js';
import type { DocumentQuery } from '../document-query.js';
import type { Exchange } from '../exchange.js';
import { openRevsBody } from '../mixed.js';
import { documentEntity, type Entity, errorEntity, newBoundary } from '../../multipart/writer.js';
import { sendStream } from '../stream.js';

/** Leaves of a document, or the revisions that a client names: each once, the oldest generation first. */
export function revisionsToOpen(
  record: DocumentRecord | undefined,
  wanted: 'all' | readonly string[],
  latest: boolean,
): readonly string[] {
  if (wanted === 'all') return inOrder(record?.leaves().map((leaf) => leaf.rev) ?? []);
  if (!latest || record === undefined) return inOrder(wanted);
  const found = new Set<string>();
  for (const rev of wanted) {
    const leaves = record.latest(rev);
    if (leaves.length === 0) found.add(rev);
    for (const leaf of leaves) found.add(leaf);
  }
  return inOrder(found);
}

/** Revisions by generation and then by hash, each once. */
export function inOrder(revs: Iterable<string>): readonly string[] {
  return Array.from(new Set(revs)).sort(
    (a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10) || (a < b ? -1 : 1),
  );
}

/** GET with `open_revs`: several revisions of one document, as JSON or as parts of a multipart body. */
export async function readRevisions(
  exchange: Exchange,
  db: Database,
  id: string,
  query: DocumentQuery,
): Promise<void> {
  const record = db.get(id);
  if (query.openRevs === 'all' && record === undefined) throw notFound('missing');
  const revs = revisionsToOpen(record, query.openRevs ?? [], query.latest);
  const found = opened(db, record, revs);
  await withReader(db, (reader) => {
    if (!exchange.accepts('multipart/mixed')) {
      return sendStream(exchange, () => filled(reader, rows(found, query)));
    }
    const boundary = newBoundary();
    const type = `multipart/mixed; boundary="${boundary}"`;
    return sendStream(exchange, () => openRevsBody(entities(reader, found, query), boundary), { type });
  });
}

/** A revision, and its stored text where it is kept. */
type OpenedRevision =
  | { readonly rev: string; readonly record: DocumentRecord; readonly stored: string }
  | { readonly rev: string; readonly stored: undefined };

/** What is there comes first. */
function* opened(
  db: Database,
  record: DocumentRecord | undefined,
  revs: readonly string[],
): Generator<OpenedRevision> {
  const missed: string[] = [];
  for (const rev of revs) {
    const stored = record && db.read(record, rev);
    if (record === undefined || stored === undefined) missed.push(rev);
    else yield { rev, record, stored };
  }
  for (const rev of missed) yield { rev, stored: undefined };
}

function* rows(revisions: Iterable<OpenedRevision>, query: DocumentQuery): Generator<string> {
  let separator = '[';
  for (const one of revisions) {
    yield separator + (one.stored === undefined ? missing(one.rev) : `{"ok":${textOf(one, query)}}`);
    separator = ',';
  }
  yield separator === '[' ? '[]\n' : ']\n';
}

const textOf = (
  { rev, record, stored }: OpenedRevision & { readonly stored: string },
  query: DocumentQuery,
): string => shownText(stored, extrasOf(record, rev, query), shownFor(record, rev, query));

const extrasOf = (record: DocumentRecord, rev: string, { revs }: DocumentQuery): DocumentExtras => ({
  revisions: revs > 0 ? record.revisions(rev, revs) : undefined,
});

/** Here attachments are sent whether or not they were asked for. */
function* entities(
  reader: AttachmentReader,
  revisions: Iterable<OpenedRevision>,
  query: DocumentQuery,
): Generator<Entity> {
  const boundary = newBoundary();
  for (const one of revisions) {
    if (one.stored === undefined) {
      yield errorEntity(missing(one.rev));
    } else {
      const { rev, record, stored } = one;
      const { wanted } = shownFor(record, rev, { ...query, attachments: true });
      const { text, following } = followedText(reader, stored, extrasOf(record, rev, query), wanted);
      yield documentEntity(text, following, boundary);
    }
  }
}

const missing = (rev: string): string => `{"missing":${JSON.stringify(rev)}}`;
