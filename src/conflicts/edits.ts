import type { AttachmentEdit, DocumentEdit } from '../store/types/edits.js';
import type { Revisions } from '../store/types/records.js';
import type { LoadedDocument } from './loaded.js';
import type { ResolvedWrites, TakenAttachment, Tombstone } from './types.js';

/** What a resolution writes as the store takes it: the merged revision first. */
export function editsOf(
  document: LoadedDocument,
  { merged, tombstones, documents }: ResolvedWrites,
): readonly DocumentEdit[] {
  const { id } = document.record;
  return [
    {
      id,
      revisions: below(document, merged.parent, merged.rev),
      deleted: merged.deleted,
      body: merged.body,
      ...withAttachments(document, merged.rev, merged.attachments, merged.parent),
    },
    ...tombstones.map((tombstone) => tombstoneEdit(document, tombstone)),
    ...documents.map((derived) => ({
      id: derived.id,
      revisions: alone(derived.rev),
      deleted: false,
      body: derived.body,
      ...withAttachments(document, derived.rev, derived.attachments),
    })),
  ];
}

export const tombstoneEdit = (document: LoadedDocument, { rev, leaf }: Tombstone): DocumentEdit => ({
  id: document.record.id,
  revisions: below(document, leaf, rev),
  deleted: true,
  body: '',
});

/** A new revision with the ancestors of the one that it goes on from. */
function below({ record }: LoadedDocument, parent: string, rev: string): Revisions {
  const { start, ids } = record.revisions(parent) ?? alone(parent);
  return { start: start + 1, ids: [hashOf(rev), ...ids] };
}

const alone = (rev: string): Revisions => ({ start: Number.parseInt(rev, 10), ids: [hashOf(rev)] });

export const hashOf = (rev: string): string => rev.slice(rev.indexOf('-') + 1);

/**
 * Attachments that revisions of a document have already.
 * @param parent what has the same attachment under the same name keeps its `revpos`. Anything else is new to whoever has the
 * parent: replicators do not send what came before it.
 */
function withAttachments(
  document: LoadedDocument,
  rev: string,
  taken: ReadonlyMap<string, TakenAttachment>,
  parent?: string,
): Pick<DocumentEdit, 'attachments'> {
  const edits = new Map<string, AttachmentEdit>();
  for (const [name, one] of taken) {
    const stored = document.attachment(one);
    if (stored === undefined) continue;
    const { contentType } = one;
    const isKept = one.from === parent && one.name === name && stored.contentType === contentType;
    const revpos = isKept ? stored.revpos : Number.parseInt(rev, 10);
    edits.set(name, { kind: 'shared', attachment: { ...stored, contentType, revpos } });
  }
  return edits.size === 0 ? {} : { attachments: edits };
}
