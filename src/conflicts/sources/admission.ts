import { Turns } from '../../json/turns.js';
import { conflictJson } from '../foreign.js';
import { ResolutionError, resolved } from '../resolved.js';
import type { ConflictText } from '../types.js';
import { answerTo } from './asking.js';
import { type Cage, ForeignError } from './cage.js';
import { generatedConflicts } from './generated.js';

/** All answers together may take so many milliseconds. */
const MOST_TIME = 20_000;
/** Characters of a conflict that are shown. */
const SHOWN = 300;

/** Why a function is not used. */
class Refused extends Error {
  override readonly name = 'Refused';
}

/**
 * Tests a merge function before it is used: gateways that have it must make the same of the same conflict, and the more so one
 * gateway each time. It is asked about `generatedConflicts`, and an answer is the revision that it would make, or none.
 *
 * 1. It answers each of them with something that can be written, or defers; it throws nothing.
 * 2. It answers the same when it is asked again, with the others in between and in another order.
 * 3. It answers the same when members of objects (of documents, attachments, the conflict itself) come in another order, which
 *    means nothing in JSON and differs between servers that have the same document.
 * 4. It answers the same in a place where nothing is left of what it was asked before, and where it is asked in another order.
 *
 * The order of the leaves is no such order: it is CouchDB's, the same everywhere, and a function may well prefer the winner.
 * Which of several contents has won is nothing that it can know beforehand, so it is asked about all permutations of three.
 * @param open opens a place in which nothing is left of others
 * @returns why it is not to be used; undefined where all is well
 * @throws CageUnavailable where it cannot be asked now
 */
export async function admission(open: () => Cage): Promise<string | undefined> {
  const test = new Admission([...generatedConflicts()]);
  try {
    await inCage(open, (cage) => test.askTwice(cage));
    await inCage(open, (cage) => test.askElsewhere(cage));
    return undefined;
  } catch (error) {
    if (error instanceof ForeignError || error instanceof Refused) return error.message;
    throw error;
  }
}

async function inCage(open: () => Cage, work: (cage: Cage) => Promise<void>): Promise<void> {
  const cage = open();
  try {
    await work(cage);
  } finally {
    cage.close();
  }
}

class Admission {
  readonly #answers = new Map<ConflictText, string>();
  readonly #turns = new Turns();
  #left = MOST_TIME;

  constructor(private readonly conflicts: readonly ConflictText[]) {}

  async askTwice(cage: Cage): Promise<void> {
    for (const conflict of this.conflicts) this.#answers.set(conflict, await this.#ask(cage, conflict));
    for (const conflict of this.conflicts.toReversed()) {
      const [turned, again] = [await this.#ask(cage, conflict, true), await this.#ask(cage, conflict)];
      this.#compare(conflict, again, 'it answers something else when it is asked again');
      this.#compare(conflict, turned, 'its answer depends on the order of members');
    }
  }

  async askElsewhere(cage: Cage): Promise<void> {
    // The one that was the last to be asked both times before comes first.
    const middle = Math.floor(this.conflicts.length / 2);
    for (const conflict of [...this.conflicts.slice(middle), ...this.conflicts.slice(0, middle)]) {
      const answer = await this.#ask(cage, conflict);
      this.#compare(conflict, answer, 'its answer depends on what it was asked before');
    }
  }

  #compare(conflict: ConflictText, answer: string, otherwise: string): void {
    if (this.#answers.get(conflict) !== answer) throw new Refused(about(otherwise, conflict));
  }

  /** @returns the revision that it makes; empty where it defers */
  async #ask(cage: Cage, conflict: ConflictText, isTurned = false): Promise<string> {
    await this.#turns.pass();
    const text = conflictJson('test', conflict);
    const begin = performance.now();
    try {
      const returned = await cage.ask(isTurned ? turned(JSON.parse(text)) : text);
      this.#left -= performance.now() - begin;
      if (this.#left < 0) throw new Refused('its test takes too long');
      const resolution = await answerTo(conflict, returned);
      return resolution.kind === 'defer' ? '' : resolved(conflict.leaves, resolution).merged.rev;
    } catch (error) {
      if (!(error instanceof ForeignError || error instanceof ResolutionError)) throw error;
      throw new Refused(about(error.message, conflict), { cause: error });
    }
  }
}

function about(what: string, { leaves }: ConflictText): string {
  const shown = leaves.map(({ content: { body } }) => `{${body}}`).join(' ');
  return `${what} (tested with a conflict of ${shown.length > SHOWN ? `${shown.slice(0, SHOWN)}…` : shown})`;
}

/** JSON text with the members of all objects the other way round. */
function turned(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(turned).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}:${turned(one)}`);
  return `{${members.reverse().join(',')}}`;
}
