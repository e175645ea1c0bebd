import { badRequest, conflict, notFound } from '../errors.js';
import { inTurns } from '../json/turns.js';
import type { Resolved } from '../store/conflicts/types.js';
import type { Database } from '../store/types.js';
import { digesting } from './canonical.js';
import { editsOf } from './edits.js';
import { mergeEntry } from './entries.js';
import { LoadedDocument, LONG } from './loaded.js';
import { ResolutionError, resolved } from './resolved.js';
import type { ResolutionText, ResolvedWrites, VersionText } from './types.js';

/** What somebody makes of a conflict. */
export type Chosen = Extract<ResolutionText, { kind: 'merge' | 'pick' | 'delete' }>;

export interface ByHand {
  readonly id: string;
  readonly chosen: Chosen;
  /** The leaves that they saw, in any order; whichever there are when left out. */
  readonly leaves?: readonly string[];
  /** Their name. */
  readonly by: string;
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
 * it is in no conflict or has other leaves by now
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
  await document.read(document.live);
  const versions = document.live.map((rev) => versionOf(document, rev));
  const writes = await writesOf(versions, chosen);
  const text = JSON.stringify(mergeEntry(versions, chosen.kind, writes, { by }));
  const edits = editsOf(document, writes);
  const ifLeaves = document.live;
  const done = await db.resolve({ id, ifLeaves, edits }, { journal: { text, keeps: ifLeaves } });
  return { rev: writes.merged.rev, entry: entryOf(done) };
}

/** @throws CouchError 403 and the like where it may not be written, 409 where the document changed */
export function entryOf(done: Resolved): number {
  if (done.kind === 'refused') throw done.error;
  if (done.kind === 'changed' || done.entry === undefined) throw conflict();
  return done.entry;
}

function versionOf(document: LoadedDocument, rev: string): VersionText {
  const content = document.content(rev);
  if (content === undefined) throw badRequest(`The body of ${rev} is not here.`);
  return { rev, content };
}

async function writesOf(versions: readonly VersionText[], chosen: Chosen): Promise<ResolvedWrites> {
  if (chosen.kind === 'merge' && chosen.content.body.length > LONG) await inTurns(digesting(chosen.content));
  try {
    return resolved(versions, chosen);
  } catch (error) {
    if (error instanceof ResolutionError) throw badRequest(error.message);
    throw error;
  }
}

export const areSame = (some: readonly string[], others: readonly string[]): boolean =>
  some.length === others.length && some.every((one) => others.includes(one));
