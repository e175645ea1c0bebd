import { keptBodies } from './kept.js';
import type { StoredDocument } from './record.js';

/** What a stored body is to its document. */
export interface BodyRole {
  /** Whether a compaction keeps it. */
  readonly isKept: boolean;
  readonly isLeaf: boolean;
}

/** Two bits of a body say one of these; none of them is said of a body that no document has. */
const ROLES: readonly (BodyRole | undefined)[] = [
  undefined,
  { isKept: false, isLeaf: false },
  { isKept: true, isLeaf: false },
  { isKept: true, isLeaf: true },
];
const DROPPED = 1;
const KEPT = 2;
const LEAF = 3;

/** Bodies in a byte. */
const IN_BYTE = 4;

/** Bytes that are made ready at once. */
const BLOCK = 16 * 1024;

/**
 * What every stored body is to its document, so that all records can be read in their order, and then all bodies in
 * theirs, instead of each body where its record names it. A hundred million bodies take 25 MB.
 */
export class BodyRoles {
  readonly #blocks = new Map<number, Uint8Array>();

  note(record: StoredDocument): void {
    const kept = keptBodies(record);
    for (const [rev, seq] of record.bodySeqs) {
      const one = kept.get(rev);
      this.#set(seq, one === undefined ? DROPPED : one.isLeaf ? LEAF : KEPT);
    }
  }

  /** A compaction keeps a body that is no leaf's. @returns false where no document has it, or it was kept already */
  keep(seq: number): boolean {
    const isDropped = this.of(seq)?.isKept === false;
    if (isDropped) this.#set(seq, KEPT);
    return isDropped;
  }

  /** @returns undefined for a body that no document has */
  of(seq: number): BodyRole | undefined {
    const { block, byte, shift } = placeOf(seq);
    return ROLES[((this.#blocks.get(block)?.[byte] ?? 0) >> shift) & 3];
  }

  #set(seq: number, role: number): void {
    const { block, byte, shift } = placeOf(seq);
    let bytes = this.#blocks.get(block);
    if (bytes === undefined) this.#blocks.set(block, (bytes = new Uint8Array(BLOCK)));
    bytes[byte] = ((bytes[byte] ?? 0) & ~(3 << shift)) | (role << shift);
  }
}

function placeOf(seq: number): { block: number; byte: number; shift: number } {
  const at = Math.floor(seq / IN_BYTE);
  return { block: Math.floor(at / BLOCK), byte: at % BLOCK, shift: 2 * (seq % IN_BYTE) };
}
