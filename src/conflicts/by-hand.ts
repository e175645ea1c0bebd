import { badRequest, conflict, leavesTooLarge, notFound } from '../errors.js';
import { inTurns } from '../json/turns.js';
import type { Resolved } from '../store/conflicts/types.js';
import type { Database } from '../store/types/database.js';
import { LONG } from './considering.js';
import { digesting } from './digest.js';
import { editsOf } from './edits.js';
import { mergeEntry } from './entries.js';
import { LoadedDocument, MOST_CHARACTERS } from './loaded.js';
import { attachmentsNamed, type NamedAttachment } from './named.js';
import { ResolutionError, resolved } from './resolved.js';
import type { ResolutionText, ResolvedWrites, VersionText } from './types.js';

/** What somebody makes of a conflict. */
export type Chosen =
  | { readonly kind: 'pick'; readonly rev: string }
  | { readonly kind: 'delete' }
  | {
      readonly kind: 'merge';
      readonly deleted: boolean;
      /** As that of a `Content`. */
      readonly body: string;
      readonly attachments: ReadonlyMap<string, NamedAttachment>;
      /** The leaf that they edited, where they say which. */
      readonly seen?: string;
    };

export interface ByHand {
  readonly id: string;
  readonly chosen: Chosen;
  /** The leaves that they saw, in any order; whichever there are when left out. */
  readonly leaves?: readonly string[];
  /** Their name; null for somebody who has none. */
  readonly by: string | null;
}

/** What was written. */
export interface ResolvedByHand {
  /** The merged revision. */
  readonly rev: string;
  /** Number of the entry in the journal. */
  readonly entry: number;
}

/**
 * Resolves a conflict as somebody says, by the same writes as a merge function would: so it can be undone, and other gateways
 * take nothing in twice.
 * @param db as they may write to it
 * @throws CouchError 400 for what names no leaf, 403 where it may not be written, 404 where there is no document, 409 where
 * it is in no conflict or has other leaves by now, 413 where they are too large to be looked at together
 */
export async function resolveByHand(
  db: Database,
  { id, chosen, leaves, by }: ByHand,
): Promise<ResolvedByHand> {
  const record = db.get(id);
  if (record === undefined) throw notFound();
  const document = new LoadedDocument(db, record);
  if (document.live.length < 2) throw conflict('The document is in no conflict.');
  if (leaves !== undefined && !areSame(leaves, document.live)) throw conflict();
  if (chosen.kind === 'merge' && chosen.seen !== undefined && !document.live.includes(chosen.seen))
    throw conflict();
  if (document.bound > MOST_CHARACTERS) throw leavesTooLarge();
  await document.read(document.live);
  const versions = document.live.map((rev) => versionOf(document, rev));
  const writes = await writesOf(versions, withPlainDigests(document, versions, chosen));
  const text = JSON.stringify(mergeEntry(versions, chosen.kind, writes, { by }));
  const edits = editsOf(document, writes);
  const ifLeaves = document.live;
  const done = await db.resolve(
    { id, ifLeaves, edits },
    { journal: { text, keeps: document.kept(ifLeaves) } },
  );
  return { rev: writes.merged.rev, entry: entryOf(done) };
}

/** @throws CouchError 403 and the like where it may not be written, 409 where the document changed */
export function entryOf(done: Resolved): number {
  if (done.kind === 'refused') throw done.error;
  if (done.kind === 'changed' || done.entry === undefined) throw conflict();
  return done.entry;
}

/** Clients know what is compressed by the digest of the compressed bytes: that is what documents show. */
function withPlainDigests(document: LoadedDocument, leaves: readonly VersionText[], chosen: Chosen): Chosen {
  if (chosen.kind !== 'merge' || chosen.attachments.size === 0) return chosen;
  const plain = new Map<string | undefined, string>();
  for (const { rev, content } of leaves) {
    for (const name of content.attachments.keys()) {
      const { digest = '', encoded } = document.attachment({ from: rev, name }) ?? {};
      if (encoded !== undefined) plain.set(encoded.digest, digest);
    }
  }
  const named = Array.from(
    chosen.attachments,
    ([name, one]) => [name, { ...one, digest: plain.get(one.digest) ?? one.digest }] as const,
  );
  return { ...chosen, attachments: new Map(named) };
}

function versionOf(document: LoadedDocument, rev: string): VersionText {
  const content = document.content(rev);
  if (content === undefined) throw badRequest(`The body of ${rev} is not here.`);
  return { rev, content };
}

async function writesOf(versions: readonly VersionText[], chosen: Chosen): Promise<ResolvedWrites> {
  try {
    const resolution = resolutionOf(versions, chosen);
    if (resolution.kind === 'merge' && resolution.content.body.length > LONG)
      await inTurns(digesting(resolution.content));
    return resolved(versions, resolution);
  } catch (error) {
    if (error instanceof ResolutionError) throw badRequest(error.message);
    throw error;
  }
}

function resolutionOf(
  versions: readonly VersionText[],
  chosen: Chosen,
): Exclude<ResolutionText, { kind: 'defer' }> {
  if (chosen.kind !== 'merge') return chosen;
  const { deleted, body, attachments } = chosen;
  return {
    kind: 'merge',
    deleted,
    content: { body, attachments: attachmentsNamed(versions, attachments) },
  };
}

export const areSame = (some: readonly string[], others: readonly string[]): boolean =>
  some.length === others.length && some.every((one) => others.includes(one));
