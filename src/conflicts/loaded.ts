import { inTurns } from '../json/turns.js';
import { type Attachment, readAttachments } from '../store/attachments/members.js';
import type { ReadLeaf } from '../store/conflicts/types.js';
import { bodySeq } from '../store/record.js';
import type { Database } from '../store/types/database.js';
import type { DocumentRecord } from '../store/types/records.js';
import {
  charactersOf,
  type Considered,
  type DocumentGiven,
  LONG,
  MOST_SENT,
  readContent,
  type Unread,
} from './considering.js';
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

/** Bodies of ancestors that are not here. */
export interface Elsewhere {
  readonly source: BodySource;
  readonly signal: AbortSignal;
  /** Whether a conflict may be merged without them where nobody can be asked now. */
  readonly mayLack: boolean;
}

/** Why a document waits for those who have its base. They may be back at any time. */
export const NO_BODIES = 'bodies of older revisions cannot be asked for now';

/** Characters that the leaves of one document may have together: all of them are in memory for a merge. */
export const MOST_CHARACTERS = 32 << 20;

/** A document with those of its bodies that were asked for. */
export class LoadedDocument {
  /** Revisions of its leaves that are not deleted, in CouchDB's order. */
  readonly live: readonly string[];
  /** As they are stored here. */
  readonly #texts = new Map<string, string>();
  readonly #contents = new Map<string, Content>();
  readonly #attachments = new Map<string, ReadonlyMap<string, Attachment>>();
  readonly #wanted = new Set<string>();
  /** Those that were looked for, whatever came of it. */
  readonly #looked = new Set<string>();
  /** Whether bodies may be where nobody could be asked. */
  #isPartial = false;

  constructor(
    private readonly db: Database,
    readonly record: DocumentRecord,
    private readonly elsewhere?: Elsewhere,
  ) {
    this.live = livingLeaves(record);
  }

  /** Characters that its leaves have at most, found without reading them. */
  get bound(): number {
    const { db, record } = this;
    return this.live.reduce((sum, rev) => sum + db.bodyBound({ record, rev }), 0);
  }

  /** What a revision holds; undefined where that was not read yet, or is not to be had. */
  content(rev: string): Content | undefined {
    const content = this.#contents.get(rev);
    if (content === undefined && (!this.#looked.has(rev) || this.#texts.has(rev))) this.#wanted.add(rev);
    return content;
  }

  /** Leaves that are not deleted, as an entry of the journal keeps them. */
  kept(revs: readonly string[]): readonly ReadLeaf[] {
    return revs.map((rev) => ({ rev, seq: bodySeq(this.record, rev), text: this.#texts.get(rev) }));
  }

  /** An attachment as it is stored. */
  attachment({ from, name }: Pick<TakenAttachment, 'from' | 'name'>): Attachment | undefined {
    return this.#attachmentsOf(from).get(name);
  }

  /** What is to be done about it. */
  async decide(equalIsSame: boolean): Promise<Decision> {
    const { id, tree } = this.record;
    const known: KnownDocument = { id, tree, content: (rev) => this.content(rev) };
    await this.read(this.#nearest());
    for (;;) {
      const decision = decide(known, { equalIsSame });
      if (this.#wanted.size > 0) await this.read([...this.#wanted]);
      else return decision.kind === 'merge' && this.#lacks() ? WAIT : decision;
    }
  }

  /**
   * What becomes of it.
   * @param mayMerge whether a function may be asked
   * @param consider is asked until it has all bodies that it wants
   */
  async consider(
    mayMerge: boolean,
    consider: (given: DocumentGiven) => Promise<Considered | Unread>,
  ): Promise<Considered> {
    for (let revs = this.#nearest(); ;) {
      await this.#look(revs);
      // What is worked on here is read once.
      if (charactersOf(this.#bodies()) > MOST_SENT) await this.read([...this.#looked]);
      const { id, tree } = this.record;
      const given = { id, tree, bodies: this.#bodies(), mayMerge: mayMerge && !this.#lacks() };
      const considered = await consider(given);
      if (considered.kind === 'unread') ({ revs } = considered);
      else return considered.kind === 'unasked' && this.#lacks() ? WAIT : considered;
    }
  }

  #bodies(): DocumentGiven['bodies'] {
    const bodies = new Map<string, string | Content | undefined>();
    for (const rev of this.#looked) bodies.set(rev, this.#contents.get(rev) ?? this.#texts.get(rev));
    return bodies;
  }

  #lacks(): boolean {
    return this.#isPartial && this.elsewhere?.mayLack === false;
  }

  /** Leaves that are not deleted, and their parents as far as they are here: mostly the base is among them. */
  #nearest(): readonly string[] {
    const { live, record } = this;
    const parents = live.flatMap((leaf) => {
      const parent = record.revsInfo(leaf)[1];
      return parent?.status === 'available' ? parent.rev : [];
    });
    return [...new Set([...live, ...parents])];
  }

  /** Reads what revisions hold: here, and then elsewhere. */
  async read(revs: readonly string[]): Promise<void> {
    await this.#look(revs);
    for (const rev of revs) {
      const text = this.#contents.has(rev) ? undefined : this.#texts.get(rev);
      if (text !== undefined) this.#contents.set(rev, await inTurns(readContent(text)));
      this.#wanted.delete(rev);
    }
  }

  /** Looks for bodies that were not looked for before. */
  async #look(revs: readonly string[]): Promise<void> {
    const { db, record } = this;
    const unknown = revs.filter((rev) => !this.#looked.has(rev));
    if (unknown.length === 0) return;
    // Once it is merged they are no leaves any more.
    const texts = await db.readMany(
      unknown.map((rev) => ({ record, rev })),
      true,
    );
    for (const [at, rev] of unknown.entries()) {
      this.#looked.add(rev);
      const text = texts[at];
      if (text !== undefined) this.#texts.set(rev, text);
    }
    const missing = unknown.filter((rev) => !this.#texts.has(rev));
    if (missing.length > 0 && this.elsewhere !== undefined) await this.#ask(missing, this.elsewhere);
  }

  async #ask(revs: readonly string[], { source, signal }: Elsewhere): Promise<void> {
    const found = await source.read(this.db.name, this.record.id, revs, signal);
    if (found === undefined) this.#isPartial = true;
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
    for (const rev of this.#texts.keys()) {
      for (const one of this.#attachmentsOf(rev).values()) if (one.encoded?.digest === digest) return one;
    }
    return undefined;
  }

  #attachmentsOf(rev: string): ReadonlyMap<string, Attachment> {
    const text = this.#texts.get(rev);
    const attachments = this.#attachments.get(rev) ?? readAttachments(text ?? '{}');
    if (text !== undefined) this.#attachments.set(rev, attachments);
    return attachments;
  }
}

const WAIT: Decision & { readonly kind: 'wait' } = { kind: 'wait', reason: NO_BODIES };

/** Revisions of the leaves that are not deleted, in CouchDB's order. */
export const livingLeaves = (record: DocumentRecord): readonly string[] =>
  record.leaves().flatMap(({ rev, deleted }) => (deleted ? [] : [rev]));
