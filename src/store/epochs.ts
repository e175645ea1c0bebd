import { randomBytes } from 'node:crypto';
import { badRequest } from '../errors.js';

/** A stretch of sequences that one run of one copy of the database gave out. */
export interface Epoch {
  readonly first: number;
  readonly name: string;
}

/** Reads epochs as they are stored. @returns undefined for what are none */
export function parseEpochs(text: string): readonly Epoch[] | undefined {
  try {
    const epochs = JSON.parse(text) as Partial<Epoch>[];
    let before = -1;
    const areEpochs = epochs.every(({ first, name }) => {
      const follows = Number.isSafeInteger(first) && (first ?? -1) > before;
      before = first ?? before;
      return follows && typeof name === 'string' && /^[A-Za-z0-9_-]+$/.test(name);
    });
    return areEpochs && epochs.length > 0 ? (epochs as Epoch[]) : undefined;
  } catch {
    return undefined;
  }
}

export const newEpochName = (): string => randomBytes(6).toString('hex');

/**
 * Names sequences to clients, and tells which of the names that clients bring are still true. A copy of a database
 * that was put back gives the same numbers to other changes: the epoch in the token keeps the two apart.
 */
export class Epochs {
  readonly #epochs: Epoch[];

  constructor(epochs: readonly Epoch[]) {
    if (epochs.length === 0) throw new RangeError('a database has at least one epoch');
    this.#epochs = [...epochs];
  }

  /** A new epoch from this sequence on; one that never held a sequence is replaced. */
  begin(first: number): void {
    while ((this.#epochs.at(-1)?.first ?? -1) >= first) this.#epochs.pop();
    this.#epochs.push({ first, name: newEpochName() });
  }

  /** The token `N-EPOCH` of a sequence. */
  token(seq: number): string {
    let at = this.#epochs.length - 1;
    while (at > 0 && (this.#epochs[at]?.first ?? 0) > seq) at--;
    return `${String(seq)}-${this.#epochs[at]?.name ?? ''}`;
  }

  /**
   * The sequence a token stands for; 0 where it names none of this database's.
   * @param updateSeq the end of the newest epoch
   * @throws CouchError 400 for what no server of this protocol gave out
   */
  parse(token: string, updateSeq: number): number {
    if (token === '0') return 0;
    const [, number, name] = /^"?([0-9]{1,15})-([A-Za-z0-9_-]+)"?$/.exec(token) ?? [];
    if (number === undefined || name === undefined) {
      // CouchDB's tokens are known by their beginning where somebody cut the number off.
      if (/^g[0-9]AAAA[A-Za-z0-9_-]+$/.test(token)) return 0;
      throw badRequest("Malformed sequence supplied in 'since' parameter.");
    }
    const at = this.#epochs.findIndex((epoch) => epoch.name === name);
    if (at < 0) return 0;
    const seq = Number.parseInt(number, 10);
    const end = (this.#epochs[at + 1]?.first ?? updateSeq + 1) - 1;
    return seq <= end ? seq : 0;
  }

  toJSON(): readonly Epoch[] {
    return this.#epochs;
  }
}
