import { newerThan, ALL, followedText } from '../../store/attachments/text.js';
import { splitAttachments } from '../../store/attachments/members.js';
import { BodyPages } from '../../store/body-pages.js';
import { documentText } from '../../store/document.js';
import type { Database } from '../../store/types/database.js';
import type { DocumentRecord } from '../../store/types/records.js';
import type { ChangedDocument, Fetched, MissingRevisions, OpenedRevision } from '../peer.js';

/** Which revisions a database lacks. */
export async function missingRevisions(
  db: Database,
  documents: readonly ChangedDocument[],
): Promise<readonly MissingRevisions[]> {
  const records = await db.getMany(documents.map(({ id }) => id));
  return documents.flatMap(({ id, revs }, at) => {
    const record = records[at];
    const missing = record === undefined ? revs : revs.filter((rev) => !record.has(rev));
    if (missing.length === 0) return [];
    const newest = Math.max(...missing.map((rev) => Number.parseInt(rev, 10)));
    return [{ id, missing, possibleAncestors: record?.possibleAncestors(newest) ?? [] }];
  });
}

/** A revision that is to be read. */
interface Wanted {
  readonly id: string;
  readonly rev: string;
  readonly record: DocumentRecord | undefined;
}

/** Documents looked up at a time. */
const PAGE = 200;

/** Reads many revisions without their attachments. */
export async function* readRevisions(
  db: Database,
  wanted: readonly MissingRevisions[],
  signal: AbortSignal,
): AsyncGenerator<readonly Fetched[]> {
  const bodies = new BodyPages(db);
  for (let at = 0; at < wanted.length; at += PAGE) {
    const documents = wanted.slice(at, at + PAGE);
    const records = await db.getMany(documents.map(({ id }) => id));
    const revisions = documents.flatMap((one, index) => revisionsOf(one, records[index]));
    for await (const page of bodies.pages(revisions, stored)) {
      signal.throwIfAborted();
      yield page.map(({ item, text }) => fetched(item, text));
    }
  }
}

/** The revisions that are asked for, or the leaves that descend from them: each once. */
function revisionsOf({ id, missing }: MissingRevisions, record: DocumentRecord | undefined): Wanted[] {
  if (record === undefined) return missing.map((rev) => ({ id, rev, record }));
  const revs = new Set<string>();
  for (const rev of missing) {
    const leaves = record.latest(rev);
    if (leaves.length === 0) revs.add(rev);
    for (const leaf of leaves) revs.add(leaf);
  }
  return Array.from(revs, (rev) => ({ id, rev, record }));
}

const stored = ({ record, rev }: Wanted): { record: DocumentRecord; rev: string } | undefined =>
  record === undefined ? undefined : { record, rev };

function fetched({ id, rev, record }: Wanted, text: string | undefined): Fetched {
  if (record === undefined || text === undefined) return { kind: 'missing', id, rev };
  if (splitAttachments(text) !== undefined) return { kind: 'apart', id, rev };
  const shown = documentText(text, { revisions: record.revisions(rev) });
  return { kind: 'document', document: { id, rev, text: shown } };
}

/** Reads revisions of one document with what is attached to them. */
export async function* openRevisions(
  db: Database,
  wanted: MissingRevisions,
  signal: AbortSignal,
): AsyncGenerator<OpenedRevision> {
  // What is attached to a body that can still be read after the record was looked up stays until the reader is closed.
  const record = db.get(wanted.id);
  const reader = db.openAttachments();
  try {
    for (const { id, rev } of revisionsOf(wanted, record)) {
      signal.throwIfAborted();
      const text = record && db.read(record, rev);
      if (record === undefined || text === undefined) {
        yield { kind: 'missing', id, rev };
        continue;
      }
      const known = wanted.possibleAncestors;
      const extras = { revisions: record.revisions(rev) };
      const chosen = known.length === 0 ? ALL : newerThan(record, rev, known);
      const { text: shown, following } = followedText(reader, text, extras, chosen);
      yield { kind: 'document', document: { id, rev, text: shown, attachments: following } };
    }
  } finally {
    await reader.close();
  }
}
