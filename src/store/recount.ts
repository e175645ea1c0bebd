import type { ClassicLevel } from 'classic-level';
import type { AttachmentForm, BodyFacts } from './body-facts.js';
import type { BodyRole } from './body-roles.js';
import type * as layout from './layout.js';
import { pagesOf } from './pages.js';
import type { State } from './state.js';

/** Attachments looked at at a time. */
const PAGE = 200;

/** The counters of bytes, but for what was dropped. */
export type CountedBytes = Pick<
  State,
  'bodyBytes' | 'attachmentBytes' | 'metadataBytes' | 'activeBytes' | 'externalBytes'
>;

/** A stored body that a record has. */
export interface CountedBody extends BodyRole {
  readonly facts: BodyFacts;
}

/** Counts what somebody reads, in any order. */
export class BytesCount {
  readonly #bytes = { bodyBytes: 0, attachmentBytes: 0, metadataBytes: 0, activeBytes: 0, externalBytes: 0 };

  /** @param uses an empty sublevel: digest → how many bodies name the attachment; there may be too many for memory */
  constructor(
    private readonly level: ClassicLevel,
    private readonly uses: layout.Sublevel,
  ) {}

  /** @param text metadata of a document as it is stored */
  addRecord(text: string): void {
    const length = Buffer.byteLength(text);
    this.#bytes.metadataBytes += length;
    this.#bytes.activeBytes += length;
  }

  async addBodies(bodies: readonly CountedBody[]): Promise<void> {
    /** Digest → its length, and how many of these bodies that are kept name it. */
    const named = new Map<string, { length: number; uses: number }>();
    for (const body of bodies) {
      this.#addBody(body);
      for (const { digest, length } of body.facts.attachments) {
        const uses = (named.get(digest)?.uses ?? 0) + Number(body.isKept);
        named.set(digest, { length, uses });
      }
    }
    if (named.size > 0) await this.#addAttachments([...named]);
  }

  /** Attachments of a leaf that the journal has. */
  async addHeld(forms: readonly AttachmentForm[]): Promise<void> {
    const named = forms.map(({ digest, length }) => [digest, { length, uses: 1 }] as const);
    if (named.length > 0) await this.#addAttachments([...new Map(named)]);
  }

  /** After everything: attachments that no body that is kept names are not listed. */
  async finish(): Promise<CountedBytes> {
    const entries = this.level.iterator({ gte: this.uses.start, lt: this.uses.end });
    for await (const page of pagesOf(entries, PAGE)) {
      const batch = this.level.batch();
      for (const [key, uses] of page) if (uses === '0') batch.del(key);
      await batch.write({ sync: false });
    }
    return this.#bytes;
  }

  #addBody({ isKept, isLeaf, facts: { length, attached } }: CountedBody): void {
    this.#bytes.bodyBytes += length;
    if (isKept) this.#bytes.activeBytes += length;
    if (isLeaf) this.#bytes.externalBytes += length + attached;
  }

  /** Earlier bodies may have named them already. */
  async #addAttachments(
    named: readonly (readonly [string, { length: number; uses: number }])[],
  ): Promise<void> {
    const keys = named.map(([digest]) => this.uses.key(digest));
    const before = await this.level.getMany(keys);
    const batch = this.level.batch();
    for (const [at, [digest, { length, uses }]] of named.entries()) {
      const was = before[at];
      const is = Number(was ?? 0) + uses;
      if (was === undefined) this.#bytes.attachmentBytes += length;
      if (is > 0 && Number(was ?? 0) === 0) this.#bytes.activeBytes += length;
      batch.put(this.uses.key(digest), String(is));
    }
    await batch.write({ sync: false });
  }
}
