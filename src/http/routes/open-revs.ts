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
  if (exchange.accepts('multipart/mixed')) {
    const boundary = randomUUID().replaceAll('-', '');
    const type = `multipart/mixed; boundary="${boundary}"`;
    await sendStream(exchange, () => parts(opened(db, record, revs, query), boundary), { type });
  } else {
    await sendStream(exchange, () => rows(opened(db, record, revs, query)));
  }
}

/** What is there comes first. */
function* opened(
  db: Database,
  record: DocumentRecord | undefined,
  revs: readonly string[],
  query: DocumentQuery,
): Generator<OpenedRevision> {
  const missed: string[] = [];
  for (const rev of revs) {
    const stored = record && db.read(record, rev);
    if (record === undefined || stored === undefined) {
      missed.push(rev);
      continue;
    }
    const revisions = query.revs ? record.revisions(rev) : undefined;
    yield { rev, text: documentText(withoutAttachments(stored, query), { revisions }) };
  }
  for (const rev of missed) yield { rev, text: undefined };
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
