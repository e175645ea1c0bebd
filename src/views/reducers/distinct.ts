import { hash } from 'node:crypto';
import type { Work } from '../../json/turns.js';
import type { ViewReducer } from '../types.js';
import { foldAll } from './fold.js';

/**
 * `_approx_count_distinct`: about how many different keys there are (HyperLogLog). Keys count as one where their texts
 * are the same, whatever the collation says.
 *
 * A reduction is a JSON string. Few keys are listed, each as the first characters of its hash in base64, and counted
 * exactly. Many are kept as registers, a character each: the most zeros that a hash of this register began with, and one.
 */
export const distinct: ViewReducer = {
  reduce: (runs) => foldAll(runs, (rows) => merged(rows, ({ key }, into) => into.add(markOf(key)))),
  rereduce: (runs) => foldAll(runs, (parts) => merged(parts, (part, into) => into.merge(part.slice(1, -1)))),
  show: (reduction) => String(Keys.of(reduction.slice(1, -1)).count),
};

function* merged<T>(items: readonly T[], add: (item: T, into: Keys) => void): Work<string> {
  const keys = new Keys();
  for (const item of items) {
    add(item, keys);
    yield;
  }
  return `"${keys.text}"`;
}

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Characters of a listed hash, of six bits each. */
const MARK = 6;
/** The first bits of a hash choose its register, the others are counted. */
const INDEX_BITS = 11;
const REST_BITS = 6 * MARK - INDEX_BITS;
const REGISTERS = 2 ** INDEX_BITS;
/** With so many the list is as long as the registers. */
const MOST_LISTED = Math.floor(REGISTERS / MARK) - 1;

/** What corrects the mean for this many registers. */
const ALPHA = 0.7213 / (1 + 1.079 / REGISTERS);

const markOf = (key: string): string => hash('md5', key, 'base64').slice(0, MARK);

class Keys {
  #listed: Set<string> | undefined = new Set();
  #registers: Uint8Array = new Uint8Array(0);

  static of(text: string): Keys {
    const keys = new Keys();
    keys.merge(text);
    return keys;
  }

  add(mark: string): void {
    if (this.#listed === undefined) {
      this.#count(mark);
      return;
    }
    this.#listed.add(mark);
    if (this.#listed.size > MOST_LISTED) this.#spread();
  }

  merge(text: string): void {
    if (text.length < REGISTERS) {
      for (let at = 0; at < text.length; at += MARK) this.add(text.slice(at, at + MARK));
      return;
    }
    this.#spread();
    for (let at = 0; at < REGISTERS; at++) {
      const value = DIGITS.indexOf(text.charAt(at));
      if (value > (this.#registers[at] ?? 0)) this.#registers[at] = value;
    }
  }

  /** From a list to registers. */
  #spread(): void {
    const listed = this.#listed;
    if (listed === undefined) return;
    this.#listed = undefined;
    this.#registers = new Uint8Array(REGISTERS);
    for (const mark of listed) this.#count(mark);
  }

  #count(mark: string): void {
    let bits = 0;
    for (const digit of mark) bits = bits * 64 + DIGITS.indexOf(digit);
    const at = Math.floor(bits / 2 ** REST_BITS);
    const rest = bits % 2 ** REST_BITS;
    const zeros = rest === 0 ? REST_BITS : REST_BITS - 1 - Math.floor(Math.log2(rest));
    if (zeros + 1 > (this.#registers[at] ?? 0)) this.#registers[at] = zeros + 1;
  }

  get text(): string {
    if (this.#listed !== undefined) return [...this.#listed].join('');
    return Array.from(this.#registers, (value) => DIGITS.charAt(value)).join('');
  }

  get count(): number {
    if (this.#listed !== undefined) return this.#listed.size;
    let empty = 0;
    let sum = 0;
    for (const value of this.#registers) {
      if (value === 0) empty++;
      sum += 2 ** -value;
    }
    const estimate = (ALPHA * REGISTERS * REGISTERS) / sum;
    // Few keys leave registers empty, and their number says more.
    const isSmall = estimate <= 2.5 * REGISTERS && empty > 0;
    return Math.round(isSmall ? REGISTERS * Math.log(REGISTERS / empty) : estimate);
  }
}
