import { quote } from '../json/quote.js';
import type { ResolvedAttachment } from './attachments/resolve.js';
import { shownMember, stub, withAttachments } from './attachments/shown.js';
import type { DocumentEdit } from './types/edits.js';
import type { StoredRevision } from './types/records.js';

/**
 * A document that is about to be written, as functions see it: with the revision that it is based on, or that it is
 * where it was made elsewhere.
 */
export function documentOf(
  { id, revisions: { start, ids }, deleted, body }: DocumentEdit,
  attachments: ReadonlyMap<string, ResolvedAttachment>,
): string {
  const [hash] = ids;
  let text = `{"_id":${quote(id)}`;
  if (hash !== undefined) text += `,"_rev":${quote(`${String(start)}-${hash}`)}`;
  if (body !== '') text += `,${body}`;
  if (deleted) text += ',"_deleted":true';
  if (hash !== undefined) text += `,"_revisions":{"start":${String(start)},"ids":${JSON.stringify(ids)}}`;
  if (attachments.size > 0) text += `,${shownMember(dated(attachments), stub)}`;
  return `${text}}`;
}

/** Attachments that come with a document are of no revision yet: CouchDB shows 0. */
const dated = (
  attachments: ReadonlyMap<string, ResolvedAttachment>,
): ReadonlyMap<string, ResolvedAttachment & { readonly revpos: number }> =>
  new Map(Array.from(attachments, ([name, one]) => [name, { ...one, revpos: one.revpos ?? 0 }]));

/** A stored revision as functions see it. @param text under which it is stored */
export const revisionText = ({ record, rev }: StoredRevision, text: string): string =>
  withAttachments(text, { revisions: record.revisions(rev) }, stub);
