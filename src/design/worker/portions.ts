import type { Call, Outcome } from '../protocol.js';
import type { Machine, Shared } from './machine.js';

/** Documents that a filter is asked about at once at most, and characters of them, unless one has more. */
const MOST = 32;
const MOST_TEXT = 64 * 1024;
/** Milliseconds within which so many have to be done for more to be asked about at once. */
const QUICK_MS = 2;

/**
 * The items of a call, a few at a time. To enter the engine and to leave it takes a third of what a quick filter takes
 * for a document, so it is asked about several; as long as it is quick, for all of them have the time of one.
 */
export class Portions {
  #size = 1;

  constructor(private readonly call: Call) {}

  /** Works on the items from one on. @returns outcomes of the first of them; undefined where it was stopped */
  run(machine: Machine, shared: Shared, from: number): readonly Outcome[] | undefined {
    const { kind, items } = this.call;
    if (kind !== 'filters' && kind !== 'views') {
      const outcome = machine.call(items[from] ?? [], shared);
      return outcome === undefined ? undefined : [outcome];
    }
    const begin = performance.now();
    const outcome = machine.call([this.#documents(from)], shared);
    this.#size = performance.now() - begin < QUICK_MS ? Math.min(MOST, this.#size * 2) : 1;
    if (typeof outcome !== 'string' || !outcome.startsWith('R'))
      return outcome === undefined ? undefined : [outcome];
    return Array.from(outcome.slice(1), (verdict) => verdict === '1');
  }

  /** A JSON array of the next ones. */
  #documents(from: number): string {
    let text = '';
    for (const [document = ''] of this.call.items.slice(from, from + this.#size)) {
      if (text !== '' && text.length + document.length > MOST_TEXT) break;
      text += text === '' ? document : `,${document}`;
    }
    return `[${text}]`;
  }
}
