import { generationOf } from '../../revtree/tree.js';
import type { StoredRecord } from '../record.js';
import type { AttachmentEdit, DocumentEdit } from '../types/edits.js';
import type { Attachment } from './members.js';
import type { StagedAttachment } from './stage.js';

/** An attachment that a write brings, or keeps; `revpos` is open where it is the new revision's generation. */
export interface ResolvedAttachment extends Omit<Attachment, 'revpos'> {
  readonly revpos: number | undefined;
  readonly staged?: StagedAttachment;
}

export interface Resolved {
  readonly attachments: ReadonlyMap<string, ResolvedAttachment>;
  /** The first attachment that is said to be there, but is not. */
  readonly missing: string | undefined;
}

/** Where stubs are looked for. */
export interface ResolveContext {
  readonly record: StoredRecord | undefined;
  readonly newEdits: boolean;
  /** The attachments of a stored revision of the document. */
  readonly attachmentsOf: (rev: string) => ReadonlyMap<string, Attachment>;
  /** Whether the bytes are stored. */
  readonly has: (digest: string) => boolean;
}

/** Finds what the stubs of a document stand for: attachments of the revision that it edits, or descends from. */
export function resolveAttachments(
  edit: DocumentEdit & { readonly attachments: ReadonlyMap<string, AttachmentEdit> },
  context: ResolveContext,
): Resolved {
  const parent = parentOf(edit, context);
  const inherited = parent === undefined ? undefined : context.attachmentsOf(parent);
  const attachments = new Map<string, ResolvedAttachment>();
  let missing: string | undefined;
  for (const [name, one] of edit.attachments) {
    const resolved = resolve(one, inherited?.get(name), context);
    if (resolved === undefined) missing ??= name;
    else attachments.set(name, resolved);
  }
  return { attachments, missing };
}

function resolve(
  edit: AttachmentEdit,
  inherited: Attachment | undefined,
  { has }: ResolveContext,
): ResolvedAttachment | undefined {
  if (edit.kind !== 'staged') {
    const kept = edit.kind === 'shared' ? edit.attachment : inherited;
    if (kept === undefined || !has(kept.digest)) return undefined;
    if (kept.encoded !== undefined && !has(kept.encoded.digest)) return undefined;
    return edit.kind === 'shared' || edit.revpos === undefined || edit.revpos === kept.revpos
      ? kept
      : undefined;
  }
  const { contentType, revpos, staged, shownLength } = edit;
  const { digest, length } = staged.plain;
  const plain = { contentType, revpos, digest, length, staged };
  if (staged.gzip === undefined) return plain;
  const { digest: encodedDigest, length: encodedLength } = staged.gzip;
  return {
    ...plain,
    encoded: {
      encoding: 'gzip',
      digest: encodedDigest,
      length: encodedLength,
      shownLength: shownLength ?? length,
    },
  };
}

/** The revision that an edit replaces, whose attachments are meant by its stubs, if its body is stored. */
export function parentOf(
  { revisions }: DocumentEdit,
  { record, newEdits }: Pick<ResolveContext, 'record' | 'newEdits'>,
): string | undefined {
  if (record === undefined) return undefined;
  const given = revisions.ids.map((hash, index) => `${String(revisions.start - index)}-${hash}`);
  if (newEdits) return given.slice(0, 1).find((rev) => record.bodySeq(rev) !== undefined);
  // The ancestors that came with it, and those that the first known one of them, or it itself, has here.
  const known = given.find((rev) => record.has(rev));
  const more = known === undefined ? undefined : record.revisions(known);
  const older = more?.ids.map((hash, index) => `${String(more.start - index)}-${hash}`) ?? [];
  return [...given.slice(1), ...older].find((rev) => record.bodySeq(rev) !== undefined);
}

/** What the revision is told apart by: not where an attachment came from, so that equal edits stay equal. */
export function summaryOf(attachments: ReadonlyMap<string, ResolvedAttachment>): string {
  if (attachments.size === 0) return '';
  return JSON.stringify(
    Array.from(attachments, ([name, { contentType, digest }]) => [name, contentType, digest]),
  );
}

/** The attachments as the body of a revision names them. */
export function settle(
  attachments: ReadonlyMap<string, ResolvedAttachment>,
  rev: string,
): ReadonlyMap<string, Attachment> {
  const generation = generationOf(rev);
  return new Map(
    Array.from(attachments, ([name, { contentType, revpos = generation, digest, length, encoded }]) => [
      name,
      { contentType, revpos, digest, length, ...(encoded && { encoded }) },
    ]),
  );
}
