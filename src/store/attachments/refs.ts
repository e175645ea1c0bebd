import type { ClassicLevel } from 'classic-level';
import type { Work } from '../../json/turns.js';
import * as layout from '../layout.js';
import { type Chunked, parseChunked } from './chunks.js';
import type { Holds } from './holds.js';
import { changedText, ELSEWHERE, isElsewhere, isLong, parseRefs } from './refs-text.js';
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
  /** Bytes that went. */
  readonly dropped: number;
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
  /** Marks whose values somebody holds from this commit on, and their digests. */
  readonly #held = new Map<string, readonly string[]>();
  /** The same of marks that somebody let go of. */
  readonly #letGo = new Map<string, readonly string[]>();
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
    this.#held.set(mark, [...digests]);
  }

  /** Takes such a mark away, and with it the bytes that no revision has and nobody else holds. */
  letGo(batch: Batch, mark: string, digests: readonly string[]): void {
    batch.del(layout.uploads.key(mark));
    const named = new Set(digests);
    this.#letGo.set(mark, [...named]);
    for (const digest of named) this.#released.add(digest);
  }

  /** A revision has an attachment. @param staged its bytes, where they may be new */
  add(digest: string, id: string, rev: string, staged?: Staged): void {
    this.addOwner(digest, `${id}@${rev}`, staged);
  }

  addOwner(digest: string, ref: string, staged?: Staged): void {
    const change = this.#of(digest);
    change.removed.delete(ref);
    change.added.add(ref);
    change.staged ??= staged;
  }

  /** The body of a revision that had it goes. @param length of its bytes, which are not read to know it */
  remove(form: { digest: string; length: number }, id: string, rev: string): void {
    this.removeOwner(form, `${id}@${rev}`);
  }

  removeOwner({ digest, length }: { digest: string; length: number }, ref: string): void {
    const change = this.#of(digest);
    change.length = length;
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
    const outcome: Outcome = { bytes: 0, dropped: 0, chunked: 0, orphans: [] };
    // Not before: what asked for it is run again where a task beside it fails.
    for (const [mark, digests] of this.#held) this.holds.add(mark, digests);
    for (const [mark, digests] of this.#letGo) this.holds.remove(mark, digests);
    for (const [digest, change] of this.#changes) {
      yield;
      const before = this.#storedOf(digest);
      const isKept =
        before !== undefined && isElsewhere(before)
          ? this.#changeElsewhere(batch, digest, change)
          : yield* this.#changeText(batch, digest, before, change);
      if (isKept) this.#released.delete(digest);
      else if (before !== undefined) this.#drop(batch, digest, change.length, outcome);
      if (isKept && before === undefined) putBytes(batch, digest, change.staged, outcome);
    }
    for (const digest of this.#released) {
      yield;
      if (!this.has(digest)) this.#dropValue(batch, digest);
    }
    return outcome;
  }

  /** @returns whether a revision still has the attachment */
  *#changeText(batch: Batch, digest: string, before: string | undefined, change: Change): Work<boolean> {
    const after = changedText(before, change);
    if (after === undefined) return false;
    if (after === before) return true;
    const isMany = isLong(after);
    batch.put(layout.attachments.key(digest), isMany ? ELSEWHERE : after);
    if (!isMany) return true;
    const refs = parseRefs(after) ?? [];
    for (const ref of refs) {
      yield;
      batch.put(layout.refKey(digest, ref), '');
    }
    batch.put(layout.refs.key(digest), String(refs.length));
    return true;
  }

  /** The same where the revisions are in our sublevel. */
  #changeElsewhere(batch: Batch, digest: string, { added, removed }: Change): boolean {
    const before = Number(this.level.getSync(layout.refs.key(digest)));
    let count = before;
    for (const ref of added) {
      const key = layout.refKey(digest, ref);
      if (this.level.getSync(key) !== undefined) continue;
      batch.put(key, '');
      count += 1;
    }
    for (const ref of removed) {
      const key = layout.refKey(digest, ref);
      if (this.level.getSync(key) === undefined) continue;
      batch.del(key);
      count -= 1;
    }
    if (count === 0) batch.del(layout.refs.key(digest));
    else if (count !== before) batch.put(layout.refs.key(digest), String(count));
    return count > 0;
  }

  #dropValue(batch: Batch, digest: string): void {
    if (!this.holds.holds(digest)) batch.del(layout.binaries.key(digest));
  }

  #drop(batch: Batch, digest: string, length: number, outcome: Outcome): void {
    batch.del(layout.attachments.key(digest));
    outcome.bytes -= length;
    outcome.dropped += length;
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
