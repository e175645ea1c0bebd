import type { ClassicLevel } from 'classic-level';
import { type BodyFacts, readFacts } from './body-facts.js';
import { keptBodies } from './kept.js';
import { LargeBodies } from './large-bodies.js';
import * as layout from './layout.js';
import { pagesOf } from './pages.js';
import { parseRecord, type StoredDocument } from './record.js';
import type { State } from './state.js';

/** Records, or attachments, looked at at a time. */
const PAGE = 200;

/** The counters of bytes, but for what was dropped. */
export type CountedBytes = Pick<
  State,
  'bodyBytes' | 'attachmentBytes' | 'metadataBytes' | 'activeBytes' | 'externalBytes'
>;

/** Counts everything that is stored by reading it all: for a database whose counters another program did not keep. */
export async function countBytes(level: ClassicLevel): Promise<CountedBytes> {
  await level.clear({ gte: layout.attachmentUses.start, lt: layout.attachmentUses.end });
  const count = new Count(level, await LargeBodies.load(level));
  const texts = level.values({
    gte: layout.documents.start,
    lt: layout.documents.end,
    highWaterMarkBytes: 1 << 20,
  });
  for await (const page of pagesOf(texts, PAGE)) await count.add(page);
  await dropUnused(level);
  return count.bytes;
}

interface StoredBody {
  readonly seq: number;
  readonly isKept: boolean;
  readonly isLeaf: boolean;
}

class Count {
  readonly #bytes = { bodyBytes: 0, attachmentBytes: 0, metadataBytes: 0, activeBytes: 0, externalBytes: 0 };

  constructor(
    private readonly level: ClassicLevel,
    private readonly largeBodies: LargeBodies,
  ) {}

  get bytes(): CountedBytes {
    return this.#bytes;
  }

  async add(texts: readonly string[]): Promise<void> {
    const metadata = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    this.#bytes.metadataBytes += metadata;
    this.#bytes.activeBytes += metadata;
    const bodies = texts.flatMap((text) => bodiesOf(parseRecord(text)));
    /** Digest → its length, and how many of these bodies that are kept name it. */
    const named = new Map<string, { length: number; uses: number }>();
    for await (const page of readFacts(this.level, this.largeBodies, bodies, ({ seq }) => seq)) {
      for (const { item, facts } of page) {
        this.#addBody(item, facts);
        for (const { digest, length } of facts.attachments) {
          const uses = (named.get(digest)?.uses ?? 0) + Number(item.isKept);
          named.set(digest, { length, uses });
        }
      }
    }
    await this.#addAttachments([...named]);
  }

  #addBody({ isKept, isLeaf }: StoredBody, { length, attached }: BodyFacts): void {
    this.#bytes.bodyBytes += length;
    if (isKept) this.#bytes.activeBytes += length;
    if (isLeaf) this.#bytes.externalBytes += length + attached;
  }

  /** Earlier pages may have named them already. */
  async #addAttachments(
    named: readonly (readonly [string, { length: number; uses: number }])[],
  ): Promise<void> {
    const keys = named.map(([digest]) => layout.attachmentUses.key(digest));
    const before = await this.level.getMany(keys);
    const batch = this.level.batch();
    for (const [at, [digest, { length, uses }]] of named.entries()) {
      const was = before[at];
      const is = Number(was ?? 0) + uses;
      if (was === undefined) this.#bytes.attachmentBytes += length;
      if (is > 0 && Number(was ?? 0) === 0) this.#bytes.activeBytes += length;
      batch.put(layout.attachmentUses.key(digest), String(is));
    }
    await batch.write({ sync: false });
  }
}

function bodiesOf(record: StoredDocument): StoredBody[] {
  const kept = keptBodies(record);
  return Array.from(record.bodySeqs, ([rev, seq]) => ({
    seq,
    isKept: kept.has(rev),
    isLeaf: kept.get(rev)?.isLeaf === true,
  }));
}

/** Attachments that no body that is kept names are not listed. */
async function dropUnused(level: ClassicLevel): Promise<void> {
  const entries = level.iterator({ gte: layout.attachmentUses.start, lt: layout.attachmentUses.end });
  for await (const page of pagesOf(entries, PAGE)) {
    const batch = level.batch();
    for (const [key, uses] of page) if (uses === '0') batch.del(key);
    await batch.write({ sync: false });
  }
}
