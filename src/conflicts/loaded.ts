import { inTurns } from '../json/turns.js';
import type { Attachment } from '../store/attachments/members.js';
import type { ReadLeaf } from '../store/conflicts/types.js';
import { readEdit } from '../store/document.js';
import { bodySeq } from '../store/record.js';
import type { Database } from '../store/types/database.js';
import type { DocumentRecord } from '../store/types/records.js';
import { digesting } from './digest.js';
import { decide } from './decide.js';
import type { AttachmentSummary, Content, Decision, KnownDocument, TakenAttachment } from './types.js';

/** Where bodies of ancestors are that are not kept here. */
export interface BodySource {
  /**
   * What revisions of a document hold, as far as it is there.
   * @returns undefined where nobody can be asked now
   */
  read(
    database: string,
    id: string,
    revs: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, BodyThere> | undefined>;
}

/** `Content` as others show it. */
export interface BodyThere extends Pick<Content, 'body'> {
  readonly attachments: ReadonlyMap<string, ThereAttachment>;
}

export interface ThereAttachment extends AttachmentSummary {
  /** Whether the digest is that of the compressed bytes. */
  readonly isEncoded?: boolean;
}

/** Longer bodies are worked on in turns. */
export const LONG = 16_384;

/** Characters that the leaves of one document may have together: all of them are in memory for a merge. */
export const MOST_CHARACTERS = 32 << 20;

/** A document with those of its bodies that were asked for. */
export class LoadedDocument {
  /** Revisions of its leaves that are not deleted, in CouchDB's order. */
  readonly live: readonly string[];
  /** Whether bodies may be where nobody could be asked. */
  isPartial = false;
  readonly #contents = new Map<string, Content>();
  /** As they are stored, of leaves that are not deleted. */
  readonly #texts = new Map<string, string>();
  readonly #attachments = new Map<string, ReadonlyMap<string, Attachment>>();
  readonly #wanted = new Set<string>();
  /** Those that were looked for, whatever came of it. */
  readonly #looked = new Set<string>();

  constructor(
    private readonly db: Database,
    readonly record: DocumentRecord,
    private readonly elsewhere?: { readonly source: BodySource; readonly signal: AbortSignal },
  ) {
    this.live = livingLeaves(record);
  }

  /** Characters that its leaves have at most, found without reading them. */
  get bound(): number {
    const { db, record } = this;
    return this.live.reduce((sum, rev) => sum + db.bodyBound({ record, rev }), 0);
  }

  get known(): KnownDocument {
    const { id, tree } = this.record;
    return { id, tree, content: (rev) => this.content(rev) };
  }

  /** What a revision holds; undefined where that is not known yet, or not to be had. */
  content(rev: string): Content | undefined {
    if (!this.#looked.has(rev)) this.#wanted.add(rev);
    return this.#contents.get(rev);
  }

  /** Leaves that are not deleted, as an entry of the journal keeps them. */
  kept(revs: readonly string[]): readonly ReadLeaf[] {
    return revs.map((rev) => ({ rev, seq: bodySeq(this.record, rev), text: this.#texts.get(rev) }));
  }

  /** An attachment as it is stored. */
  attachment({ from, name }: Pick<TakenAttachment, 'from' | 'name'>): Attachment | undefined {
    return this.#attachments.get(from)?.get(name);
  }

  /** What is to be done about it. */
  async decide(equalIsSame: boolean): Promise<Decision> {
    await this.read([...this.live, ...this.#parents()]);
    for (;;) {
      const decision = decide(this.known, { equalIsSame });
      if (this.#wanted.size === 0) return decision;
      await this.read([...this.#wanted]);
    }
  }

  /** Those of leaves that are not deleted, as far as they are here: mostly the base is among them. */
  #parents(): readonly string[] {
    const { record } = this;
    const kept = this.live.flatMap((leaf) => {
      const parent = record.revsInfo(leaf)[1];
      return parent?.status === 'available' ? parent.rev : [];
    });
    return [...new Set(kept)];
  }

  /** Looks for bodies: here, and then elsewhere. */
  async read(revs: readonly string[]): Promise<void> {
    const { db, record } = this;
    const unknown = revs.filter((rev) => !this.#looked.has(rev));
    if (unknown.length === 0) return;
    const texts = await db.readMany(unknown.map((rev) => ({ record, rev })));
    for (const [at, rev] of unknown.entries()) {
      this.#wanted.delete(rev);
      this.#looked.add(rev);
      const text = texts[at];
      if (text !== undefined) await this.#put(rev, text);
    }
    const missing = unknown.filter((rev) => !this.#contents.has(rev));
    if (missing.length > 0 && this.elsewhere !== undefined) await this.#ask(missing, this.elsewhere);
  }

  async #ask(
    revs: readonly string[],
    { source, signal }: { readonly source: BodySource; readonly signal: AbortSignal },
  ): Promise<void> {
    const found = await source.read(this.db.name, this.record.id, revs, signal);
    if (found === undefined) this.isPartial = true;
    for (const [rev, { body, attachments }] of found ?? []) {
      const known = this.#comparable(attachments);
      if (known === undefined) continue;
      const content = { body, attachments: known };
      if (body.length > LONG) await inTurns(digesting(content));
      this.#contents.set(rev, content);
    }
  }

  /**
   * Attachments by the digests of their plain bytes, which of compressed ones are known where the same are here.
   * @returns undefined where one cannot be compared: a base without it would say that somebody added it since
   */
  #comparable(there: BodyThere['attachments']): Content['attachments'] | undefined {
    const known = new Map<string, AttachmentSummary>();
    for (const [name, { contentType, digest, length, isEncoded = false }] of there) {
      const same = isEncoded ? this.#encodedAs(digest) : { digest, length };
      if (same === undefined) return undefined;
      known.set(name, { contentType, digest: same.digest, length: same.length });
    }
    return known;
  }

  #encodedAs(digest: string): Attachment | undefined {
    for (const attachments of this.#attachments.values()) {
      for (const one of attachments.values()) if (one.encoded?.digest === digest) return one;
    }
    return undefined;
  }

  async #put(rev: string, text: string): Promise<void> {
    const work = inTurns(readEdit(text, 'shared'));
    const { body, attachments } = work instanceof Promise ? await work : work;
    const stored = new Map<string, Attachment>();
    const summaries = new Map<string, AttachmentSummary>();
    for (const [name, edit] of attachments ?? []) {
      if (edit.kind !== 'shared') continue;
      const { contentType, digest, length } = edit.attachment;
      stored.set(name, edit.attachment);
      summaries.set(name, { contentType, digest, length });
    }
    const content = { body, attachments: summaries };
    // Whoever compares them finds their digests.
    if (body.length > LONG) await inTurns(digesting(content));
    if (this.live.includes(rev)) this.#texts.set(rev, text);
    this.#attachments.set(rev, stored);
    this.#contents.set(rev, content);
  }
}

/** Revisions of the leaves that are not deleted, in CouchDB's order. */
export const livingLeaves = (record: DocumentRecord): readonly string[] =>
  record.leaves().flatMap(({ rev, deleted }) => (deleted ? [] : [rev]));
