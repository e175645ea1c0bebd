import { contentDigest } from './digest.js';
import { derivedRev, mergedRev, tombstoneRev } from './revisions.js';
import type {
  AttachmentSummary,
  Content,
  DerivedDocument,
  ResolutionText,
  ResolvedWrites,
  TakenAttachment,
  VersionText,
} from './types.js';

/** A resolution that cannot be written. */
export class ResolutionError extends Error {
  override readonly name = 'ResolutionError';
}

const NOTHING: Content = { body: '', attachments: new Map() };

/**
 * What a resolution writes: a merged revision, and the tombstones of all leaves but its parent, the winner.
 *
 * A leaf that was picked and a deletion make a merged revision too. Else gateways that see different leaves, and each pick
 * one, could delete each other's.
 * @param leaves that are not deleted, in CouchDB's order, with what they hold
 * @throws ResolutionError where it names a leaf or an attachment that there is not
 */
export function resolved(
  leaves: readonly VersionText[],
  resolution: Exclude<ResolutionText, { kind: 'defer' }>,
): ResolvedWrites {
  const [winner, ...others] = leaves;
  if (winner === undefined) throw new ResolutionError('there is no leaf');
  const { deleted, content } = outcome(leaves, resolution);
  const rev = mergedRev(Number.parseInt(winner.rev, 10) + 1, {
    parent: winner.rev,
    others: others.map((leaf) => leaf.rev),
    deleted,
    digest: contentDigest(content),
  });
  const documents = resolution.kind === 'pick' ? (resolution.documents ?? []) : [];
  return {
    merged: { rev, parent: winner.rev, deleted, ...taken(leaves, content) },
    tombstones: others.map((leaf) => ({
      rev: tombstoneRev('input', leaf.rev, rev),
      leaf: leaf.rev,
      into: rev,
    })),
    documents: documents.map(({ id, rev: of }) => derived(id, leafOf(leaves, of))),
  };
}

function outcome(
  leaves: readonly VersionText[],
  resolution: Exclude<ResolutionText, { kind: 'defer' }>,
): { deleted: boolean; content: Content } {
  if (resolution.kind === 'delete') return { deleted: true, content: NOTHING };
  if (resolution.kind === 'merge') return resolution;
  return { deleted: false, content: leafOf(leaves, resolution.rev).content };
}

function leafOf(leaves: readonly VersionText[], rev: string): VersionText {
  const leaf = leaves.find((one) => one.rev === rev);
  if (leaf === undefined) throw new ResolutionError(`${rev} is no leaf of this conflict`);
  return leaf;
}

const derived = (id: string, leaf: VersionText): DerivedDocument => ({
  id,
  rev: derivedRev(id, leaf.rev),
  ...taken([leaf], leaf.content),
});

/** Content whose attachments have their bytes from leaves. */
function taken(
  leaves: readonly VersionText[],
  { body, attachments }: Content,
): { body: string; attachments: ReadonlyMap<string, TakenAttachment> } {
  const found = new Map<string, TakenAttachment>();
  if (attachments.size === 0) return { body, attachments: found };
  const first = new Map<string, TakenAttachment>();
  for (const { rev, content } of leaves) {
    for (const [name, one] of content.attachments) {
      for (const key of [one.digest, keyOf(name, one)]) {
        if (!first.has(key)) first.set(key, { ...one, from: rev, name });
      }
    }
  }
  for (const [name, one] of attachments) {
    // The winner's comes first, and one of the same name before others.
    const best = first.get(keyOf(name, one)) ?? first.get(one.digest);
    if (best === undefined) throw new ResolutionError(`no leaf has the attachment ${JSON.stringify(name)}`);
    found.set(name, { ...best, contentType: one.contentType });
  }
  return { body, attachments: found };
}

const keyOf = (name: string, { digest }: AttachmentSummary): string => `${digest} ${name}`;
