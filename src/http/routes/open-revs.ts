import { randomUUID } from 'node:crypto';
import { withoutAttachments } from './documents.js';
import { notFound } from '../../errors.js';
import { documentText } from '../../store/document.js';
import type { Database, DocumentRecord } from '../../store/types.js';
import type { DocumentQuery } from '../document-query.js';
import type { Exchange } from '../exchange.js';
import { sendStream } from '../stream.js';

/** A revision that was asked for, and its text where it is kept. */
export interface OpenedRevision {
  readonly rev: string;
  readonly text: string | undefined;
}

/** Leaves of a document, or the revisions that a client names. */
export function revisionsToOpen(
  record: DocumentRecord | undefined,
  wanted: 'all' | readonly string[],
  latest: boolean,
): readonly string[] {
  if (wanted === 'all') return record?.leaves().map((leaf) => leaf.rev) ?? [];
  if (!latest || record === undefined) return wanted;
  const found = new Set<string>();
  for (const rev of wanted) {
    const leaves = record.latest(rev);
    if (leaves.length === 0) found.add(rev);
    for (const leaf of leaves) found.add(leaf);
  }
  return Array.from(found);
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
  if (exchange.accepts('multipart/mixed')) {
    const boundary = randomUUID().replaceAll('-', '');
    const type = `multipart/mixed; boundary="${boundary}"`;
    await sendStream(exchange, () => parts(opened(db, record, revs, query), boundary), { type });
  } else {
    await sendStream(exchange, () => rows(opened(db, record, revs, query)));
  }
}

function* opened(
  db: Database,
  record: DocumentRecord | undefined,
  revs: readonly string[],
  query: DocumentQuery,
): Generator<OpenedRevision> {
  for (const rev of revs) {
    const stored = record && db.read(record, rev);
    const revisions = query.revs ? record?.revisions(rev) : undefined;
    const text =
      stored === undefined ? undefined : documentText(withoutAttachments(stored, query), { revisions });
    yield { rev, text };
  }
}

function* rows(revisions: Iterable<OpenedRevision>): Generator<string> {
  let separator = '[';
  for (const { rev, text } of revisions) {
    yield `${separator}${text === undefined ? missing(rev) : `{"ok":${text}}`}`;
    separator = ',';
  }
  yield separator === '[' ? '[]\n' : ']\n';
}

function* parts(revisions: Iterable<OpenedRevision>, boundary: string): Generator<string> {
  yield `--${boundary}`;
  for (const { rev, text } of revisions) {
    const type = text === undefined ? 'application/json; error="true"' : 'application/json';
    yield `\r\nContent-Type: ${type}\r\n\r\n${text ?? missing(rev)}\r\n--${boundary}`;
  }
  yield '--';
}

const missing = (rev: string): string => `{"missing":${JSON.stringify(rev)}}`;
