import { TIMED_OUT, type Call, type Outcome } from '../protocol.js';
import type { Machine, Shared } from './machine.js';

/** Documents that a filter or the map functions are asked about at once at most, and characters of them, unless one has more. */
const MOST = 32;
const MOST_TEXT = 64 * 1024;
/** Milliseconds within which so many have to be done for more to be asked about at once. */
const QUICK_MS = 2;

/**
 * The items of a call, a few at a time. To enter the engine and to leave it takes a third of what a quick function takes
 * for a document, so it is asked about several; as long as it is quick, for all of them have the time of one.
 */
export class Portions {
  #size = 1;

  constructor(private readonly call: Call) {}

  /** Works on the items from one on. @returns outcomes of the first of them; undefined where it was stopped */
  run(machine: Machine, shared: Shared, from: number): readonly Outcome[] | undefined {
    const { kind, items } = this.call;
    if (kind !== 'filters' && kind !== 'views' && kind !== 'maps') {
      const outcome = machine.call(items[from] ?? [], shared);
      return outcome === undefined ? undefined : [outcome];
    }
    const begin = performance.now();
    const { count, text } = this.#documents(from);
    const outcome = machine.call([text], shared);
    this.#size = performance.now() - begin < QUICK_MS ? Math.min(MOST, this.#size * 2) : 1;
    if (outcome === undefined) return undefined;
    if (typeof outcome === 'string' && outcome.startsWith('R')) return divided(kind, outcome.slice(1));
    // What is too much for some together need not be for one.
    return kind === 'maps' && count > 1 && outcome !== TIMED_OUT ? this.#singly() : [outcome];
  }

  #singly(): readonly Outcome[] {
    this.#size = 1;
    return [];
  }

  /** A JSON array of the next ones. */
  #documents(from: number): { readonly count: number; readonly text: string } {
    let text = '';
    let count = 0;
    for (const [document = ''] of this.call.items.slice(from, from + this.#size)) {
      if (count > 0 && text.length + document.length > MOST_TEXT) break;
      text += count === 0 ? document : `,${document}`;
      count++;
    }
    return { count, text: `[${text}]` };
  }
}

/** What was said of each document. */
const divided = (kind: 'filters' | 'views' | 'maps', answer: string): readonly Outcome[] =>
  kind === 'maps'
    ? answer
        .split('\0')
        .slice(0, -1)
        .map((emitted) => `R${emitted}`)
    : Array.from(answer, (verdict) => verdict === '1');
