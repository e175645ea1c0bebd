import type { ClassicLevel } from 'classic-level';
import * as layout from '../layout.js';

/** Puts and deletes of the commit that is being put together. */
interface Batch {
  put(key: string, value: string): void;
  del(key: string): void;
}

/**
 * So many sequences share an entry. Where those of one commit lie together, as when a replication brings conflicts, larger
 * blocks would save next to nothing; where they lie apart, each body costs an entry of its own, which is to be short.
 */
const BLOCK = 128;
const BYTES = BLOCK / 8;

/** What an entry says, a bit for each sequence. */
type Bits = Uint8Array;

interface Block {
  readonly bits: Bits;
  isChanged: boolean;
}

const blockOf = (seq: number): number => Math.floor(seq / BLOCK);
const keyOf = (block: number): string => layout.baseMarks.key(layout.seqKey(block * BLOCK));

/** @returns undefined for what is no entry */
function parseBits(text: string): Bits | undefined {
  const bits = Buffer.from(text, 'hex');
  return text.length === 2 * BYTES && bits.length === BYTES ? bits : undefined;
}

/** Of what cannot be read nothing is marked. */
const bitsIn = (text: string | undefined): Bits => parseBits(text ?? '') ?? new Uint8Array(BYTES);

const byteOf = (seq: number): number => (seq % BLOCK) >> 3;
const maskOf = (seq: number): number => 1 << (seq % 8);
const isSet = (bits: Bits, seq: number): boolean => ((bits[byteOf(seq)] ?? 0) & maskOf(seq)) !== 0;

/** Which bodies are kept for merges: the marks on disk, and what one commit does to them. */
export class BaseMarks {
  readonly #blocks = new Map<number, Block>();

  constructor(private readonly level: ClassicLevel) {}

  has(seq: number): boolean {
    return isSet(this.#at(seq).bits, seq);
  }

  add(seq: number): void {
    this.#set(seq, true);
  }

  delete(seq: number): void {
    this.#set(seq, false);
  }

  /** Puts every entry that is another one now. */
  write(batch: Batch): void {
    for (const [block, { bits, isChanged }] of this.#blocks) {
      if (!isChanged) continue;
      if (bits.some((byte) => byte !== 0)) batch.put(keyOf(block), Buffer.from(bits).toString('hex'));
      else batch.del(keyOf(block));
    }
  }

  #set(seq: number, isMarked: boolean): void {
    const block = this.#at(seq);
    const { bits } = block;
    if (isSet(bits, seq) === isMarked) return;
    bits[byteOf(seq)] = (bits[byteOf(seq)] ?? 0) ^ maskOf(seq);
    block.isChanged = true;
  }

  #at(seq: number): Block {
    const number = blockOf(seq);
    let block = this.#blocks.get(number);
    if (block === undefined) {
      block = { bits: bitsIn(this.level.getSync(keyOf(number))), isChanged: false };
      this.#blocks.set(number, block);
    }
    return block;
  }
}

/** Reads which of some bodies are kept for merges. */
export async function markedAmong(
  level: ClassicLevel,
  seqs: readonly number[],
): Promise<(seq: number) => boolean> {
  const blocks = [...new Set(seqs.map(blockOf))];
  const texts = await level.getMany(blocks.map(keyOf));
  const bits = new Map(blocks.map((block, at) => [block, bitsIn(texts[at])]));
  return (seq) => isSet(bits.get(blockOf(seq)) ?? NONE, seq);
}

const NONE: Bits = new Uint8Array(BYTES);

/** How many marks an entry has; undefined for what is none. */
export function countMarks(text: string): number | undefined {
  const bits = parseBits(text);
  if (bits === undefined) return undefined;
  return Array.from({ length: BLOCK }, (_, seq) => Number(isSet(bits, seq))).reduce((sum, bit) => sum + bit);
}
