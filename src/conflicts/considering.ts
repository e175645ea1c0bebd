import { inTurns, type Work } from '../json/turns.js';
import type { RevTree } from '../revtree/tree.js';
import { readEdit } from '../store/document.js';
import { decide } from './decide.js';
import { digesting } from './digest.js';
import { mergeEntry } from './entries.js';
import type { BuiltIn } from './functions/builtin.js';
import { resolved } from './resolved.js';
import { CageUnavailable } from './sources/cage.js';
import { limited } from './time-limit.js';
import type {
  AttachmentSummary,
  ConflictText,
  Content,
  Decision,
  ResolutionText,
  ResolvedWrites,
} from './types.js';

// What becomes of a document, from what was read of it to what is to be written. Nothing here reads or writes, so that
// all of it can be done in a thread.

/** A document as far as it was read. */
export interface DocumentGiven {
  readonly id: string;
  readonly tree: RevTree;
  /**
   * Revision → its body as it is stored here, or its content as others have it; undefined where it was looked for in vain.
   */
  readonly bodies: ReadonlyMap<string, string | Content | undefined>;
  /** Whether a function may be asked. */
  readonly mayMerge: boolean;
}

/** Bodies have to be looked for before more can be said. */
export interface Unread {
  readonly kind: 'unread';
  /** At least one. */
  readonly revs: readonly string[];
}

/** What a merge function made of a conflict, as it is to be written. */
interface Merged {
  readonly kind: 'merged';
  readonly outcome: Exclude<ResolutionText['kind'], 'defer'>;
  readonly writes: ResolvedWrites;
  /** Of the journal: JSON text of an `Entry`. */
  readonly entry: string;
}

/** A merge function leaves a conflict as it is. */
interface Unmerged {
  readonly kind: 'unmerged';
  /** Whether that is because it failed. */
  readonly hasFailed: boolean;
  readonly reason: string;
  readonly paths?: readonly string[];
}

/** A merge function would have to be asked. */
interface Unasked {
  readonly kind: 'unasked';
}

export type Considered = Exclude<Decision, { readonly kind: 'merge' }> | Merged | Unmerged | Unasked;

/** Longer bodies are worked on in turns. */
export const LONG = 16_384;

/**
 * `charactersOf` what is sent to a thread. To copy more could keep the event loop to itself for longer than to work on it in
 * turns.
 */
export const MOST_SENT = 1 << 20;

/** To copy an attachment takes as long as to copy so many characters. */
const ATTACHMENT = 500;

/** What it takes to copy bodies. */
export function charactersOf(bodies: DocumentGiven['bodies']): number {
  let sum = 0;
  for (const body of bodies.values()) {
    if (typeof body === 'string') sum += body.length;
    else if (body !== undefined) sum += body.body.length + ATTACHMENT * body.attachments.size;
  }
  return sum;
}

/**
 * What becomes of a document by a function that is built in.
 * @param timeout milliseconds that the function may take
 */
export function* considering(
  { id, tree, bodies, mayMerge }: DocumentGiven,
  { equalIsSame, version, resolve }: BuiltIn,
  timeout: number,
): Work<Considered | Unread> {
  const contents = new Map<string, Content>();
  for (const [rev, body] of bodies) {
    if (body !== undefined) contents.set(rev, typeof body === 'string' ? yield* readContent(body) : body);
  }
  const unread = new Set<string>();
  const content = (rev: string): Content | undefined => {
    if (!bodies.has(rev)) unread.add(rev);
    return contents.get(rev);
  };
  const decision = decide({ id, tree, content }, { equalIsSame });
  if (unread.size > 0) return { kind: 'unread', revs: [...unread] };
  if (decision.kind !== 'merge') return decision;
  if (!mayMerge) return { kind: 'unasked' };
  const { conflict } = decision;
  try {
    return yield* merging(version, conflict, yield* limited(resolve(conflict), timeout));
  } catch (error) {
    return failed(error);
  }
}

/**
 * What becomes of a conflict by a function that is somewhere else.
 * @throws CageUnavailable
 */
export async function mergedBy(
  version: string,
  conflict: ConflictText,
  ask: () => Promise<ResolutionText>,
): Promise<Merged | Unmerged> {
  try {
    return await inTurns(merging(version, conflict, await ask()));
  } catch (error) {
    if (error instanceof CageUnavailable) throw error;
    return failed(error);
  }
}

/** @throws ResolutionError for a resolution that cannot be written */
function* merging(
  version: string,
  { leaves }: ConflictText,
  resolution: ResolutionText,
): Work<Merged | Unmerged> {
  if (resolution.kind === 'defer') {
    const { reason, paths } = resolution;
    return { kind: 'unmerged', hasFailed: false, reason, ...(paths !== undefined && { paths }) };
  }
  const { kind: outcome } = resolution;
  // Whoever names what was merged finds it there: most functions found it on their way.
  if (outcome === 'merge') yield* digesting(resolution.content);
  const writes = resolved(leaves, resolution);
  const entry = JSON.stringify(mergeEntry(leaves, outcome, writes, { function: version }));
  return { kind: 'merged', outcome, writes, entry };
}

/** Whatever a function does, the document stays as it is. */
const failed = (error: unknown): Unmerged => ({
  kind: 'unmerged',
  hasFailed: true,
  reason: (error as Error).message,
});

/** What a revision holds. @param text as it is stored */
export function* readContent(text: string): Work<Content> {
  const { body, attachments } = yield* readEdit(text, 'shared');
  const summaries = new Map<string, AttachmentSummary>();
  for (const [name, edit] of attachments ?? []) {
    if (edit.kind !== 'shared') continue;
    const { contentType, digest, length } = edit.attachment;
    summaries.set(name, { contentType, digest, length });
  }
  const content = { body, attachments: summaries };
  // Whoever compares them finds their digests.
  if (body.length > LONG) yield* digesting(content);
  return content;
}
