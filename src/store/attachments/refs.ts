import type { ClassicLevel } from 'classic-level';
import type { Work } from '../../json/turns.js';
import * as layout from '../layout.js';
import { type Chunked, parseChunked } from './chunks.js';
import type { Holds } from './holds.js';
import type { Staged } from './uploads.js';

/** Puts and deletes of the commit that is being put together. */
export interface Batch {
  put(key: string, value: string): void;
  putBytes(key: string, value: Buffer): void;
  del(key: string): void;
}

/** What a commit does to the attachments of a database. */
export interface RefsOutcome {
  /** Bytes that came less those that went. */
  readonly bytes: number;
  /** Attachments in chunks that came less those that went. */
  readonly chunked: number;
  /** Uploads whose chunks nobody needs once the commit is on disk. */
  readonly orphans: readonly string[];
}

interface Change {
  readonly added: Set<string>;
  readonly removed: Set<string>;
  staged: Staged | undefined;
  /** Bytes, where one was removed. */
  length: number;
}

/** Keeps which revisions have an attachment, as PouchDB does, over one commit. Without any its bytes go. */
export class Refs {
  readonly #changes = new Map<string, Change>();
  /** Digest → what is stored of who has it, as far as it was read beforehand. */
  readonly #stored = new Map<string, string | undefined>();
  /** Digests of values that somebody let go of. */
  readonly #released = new Set<string>();

  constructor(
    private readonly level: ClassicLevel,
    private readonly holds: Holds,
  ) {}

  /** Reads what will be needed of some attachments, in one look-up. */
  async load(digests: readonly string[]): Promise<void> {
    const texts = await this.level.getMany(digests.map((digest) => layout.attachments.key(digest)));
    for (const [at, digest] of digests.entries()) this.#stored.set(digest, texts[at]);
  }

  #storedOf(digest: string): string | undefined {
    return this.#stored.has(digest)
      ? this.#stored.get(digest)
      : this.level.getSync(layout.attachments.key(digest));
  }

  /** Whether the attachment is stored, or about to be. */
  has(digest: string): boolean {
    const added = this.#changes.get(digest)?.added.size ?? 0;
    return added > 0 || this.#storedOf(digest) !== undefined;
  }

  /** Whether these bytes are still there: a database that was opened again has lost those in chunks. */
  hasBytes({ digest, content }: Staged): boolean {
    return Buffer.isBuffer(content) || this.holds.isHeld(content.mark) || this.has(digest);
  }

  /** Stores bytes under their digests, and a mark that says that no revision has them yet. */
  hold(batch: Batch, mark: string, staged: readonly Staged[]): void {
    const digests = new Set<string>();
    for (const { digest, content } of staged) {
      if (!Buffer.isBuffer(content)) throw new Error(`attachment ${digest} is on the disk already`);
      if (digests.has(digest)) continue;
      digests.add(digest);
      if (content.length > 0) batch.putBytes(layout.binaries.key(digest), content);
    }
    batch.put(layout.uploads.key(mark), JSON.stringify([...digests]));
    this.holds.add(mark, [...digests]);
  }

  /** Takes such a mark away, and with it the bytes that no revision has and nobody else holds. */
  letGo(batch: Batch, mark: string, digests: readonly string[]): void {
    batch.del(layout.uploads.key(mark));
    const named = new Set(digests);
    this.holds.remove(mark, [...named]);
    for (const digest of named) this.#released.add(digest);
  }

  /** A revision has an attachment. @param staged its bytes, where they may be new */
  add(digest: string, id: string, rev: string, staged?: Staged): void {
    const change = this.#of(digest);
    const ref = `${id}@${rev}`;
    change.removed.delete(ref);
    change.added.add(ref);
    change.staged ??= staged;
  }

  /** The body of a revision that had it goes. @param length of its bytes, which are not read to know it */
  remove({ digest, length }: { digest: string; length: number }, id: string, rev: string): void {
    const change = this.#of(digest);
    change.length = length;
    const ref = `${id}@${rev}`;
    // Both: it may be on disk already, and was added again.
    change.added.delete(ref);
    change.removed.add(ref);
  }

  #of(digest: string): Change {
    let change = this.#changes.get(digest);
    if (change === undefined) {
      change = { added: new Set(), removed: new Set(), staged: undefined, length: 0 };
      this.#changes.set(digest, change);
    }
    return change;
  }

  /** Puts everything into the batch; called once, at its end. */
  *finish(batch: Batch): Work<RefsOutcome> {
    const outcome: Outcome = { bytes: 0, chunked: 0, orphans: [] };
    for (const [digest, change] of this.#changes) {
      yield;
      const key = layout.attachments.key(digest);
      const before = this.#storedOf(digest);
      const after = changedRefs(before, change);
      if (after !== undefined) this.#released.delete(digest);
      if (after === before) continue;
      if (after === undefined) this.#drop(batch, digest, change.length, outcome);
      else batch.put(key, after);
      if (before === undefined) putBytes(batch, digest, change.staged, outcome);
    }
    for (const digest of this.#released) {
      yield;
      if (!this.has(digest)) this.#dropValue(batch, digest);
    }
    return outcome;
  }

  #dropValue(batch: Batch, digest: string): void {
    if (!this.holds.holds(digest)) batch.del(layout.binaries.key(digest));
  }

  #drop(batch: Batch, digest: string, length: number, outcome: Outcome): void {
    batch.del(layout.attachments.key(digest));
    outcome.bytes -= length;
    // Also where it is in chunks: it may have been stored both ways at once.
    this.#dropValue(batch, digest);
    const text = this.level.getSync(layout.chunked.key(digest));
    if (text === undefined) return;
    const { upload } = parseChunked(text);
    this.holds.remove(upload);
    outcome.chunked -= 1;
    outcome.orphans.push(upload);
    batch.del(layout.chunked.key(digest));
    batch.put(layout.uploads.key(upload), '');
  }
}

type Outcome = { -readonly [Key in keyof RefsOutcome]: RefsOutcome[Key] } & { orphans: string[] };

/** PouchDB takes an attachment that is named here for stored: its bytes come in the same batch. */
function putBytes(batch: Batch, digest: string, staged: Staged | undefined, outcome: Outcome): void {
  if (staged === undefined) throw new Error(`nobody has the bytes of attachment ${digest}`);
  const { content, length } = staged;
  outcome.bytes += length;
  // As PouchDB has it: there is no value for no bytes.
  if (length === 0) return;
  if (Buffer.isBuffer(content)) {
    batch.putBytes(layout.binaries.key(digest), content);
    return;
  }
  // Its mark goes when the request ends.
  if (content.form === 'value') return;
  const chunked: Chunked = { upload: content.mark, length };
  batch.put(layout.chunked.key(digest), JSON.stringify(chunked));
  batch.del(layout.uploads.key(content.mark));
  outcome.chunked += 1;
}

const OPEN = '{"refs":{';
const CLOSE = '}}';

/** So many revisions are looked for in the text; for more it is faster to take it apart. */
const FEW = 16;

/** The stored text with what was added and removed; undefined where no revision is left. */
function changedRefs(before: string | undefined, { added, removed }: Change): string | undefined {
  if (before === undefined) return added.size === 0 ? undefined : refsText(added);
  // Thousands of documents may share an icon: what is only added to is not taken apart.
  const isSmall = removed.size === 0 && added.size <= FEW;
  if (isSmall && before.startsWith(`${OPEN}"`) && before.endsWith(`:true${CLOSE}`)) {
    // The bracket or comma before it: the id of another document may end in a quote and the whole of this one.
    const more = Array.from(added, refText);
    const fresh = more.filter((ref) => !before.startsWith(OPEN + ref) && !before.includes(`,${ref}`));
    return fresh.length === 0 ? before : [before.slice(0, -CLOSE.length), ...fresh].join(',') + CLOSE;
  }
  const { refs } = JSON.parse(before) as { refs?: Record<string, true> };
  // Databases of long ago do not know who has their attachments: those stay for ever.
  if (refs === undefined) return before;
  const names = new Set(Object.keys(refs));
  for (const ref of removed) names.delete(ref);
  for (const ref of added) names.add(ref);
  if (names.size === 0) return undefined;
  return refsText(names);
}

/** Of a revision, `id@rev`. */
const refText = (ref: string): string => `${JSON.stringify(ref)}:true`;

/** The revisions that have an attachment, as they are stored. */
export const refsText = (refs: Iterable<string>): string =>
  OPEN + Array.from(refs, refText).join(',') + CLOSE;
