import { inTurns, type Work } from '../../json/turns.js';
import { JsonReader } from '../../json/reader.js';
import { conflictJson, readResolution } from '../foreign.js';
import { ResolutionError } from '../resolved.js';
import type { ConflictText, ResolutionText } from '../types.js';
import { type Cage, ForeignError } from './cage.js';

/** A merge function that is not built in, as it is now in a database. */
export interface ForeignMerge {
  readonly version: string;
  /** Whether leaves with the same content are one to it. */
  readonly equalIsSame: boolean;
  /** @throws Error with what is wrong about the function, or what it did */
  readonly ask: (conflict: ConflictText) => Promise<ResolutionText>;
}

/** Characters that a conflict may have on its way to the function. */
const MOST_CHARACTERS = 1 << 24;
/** So often it may take too much time or memory, … */
const COSTLY = 10;
/** … and beyond that once in so many conflicts. */
const ONE_IN = 10;

export interface ForeignOptions {
  /** Opens a place to run it in, in which nothing is left of others. */
  readonly open: () => Cage;
  /** Says why it is not to be used; undefined where all is well. */
  readonly test: (open: () => Cage) => Promise<string | undefined>;
  /** Is told of a function that is not used, or not any more. */
  readonly onRefused: (reason: string) => void;
}

/** One version of a merge function that is not built in. It is tested before it is used. Must be closed. */
export class ForeignFunction {
  #cage: Cage | undefined;
  #test: Promise<void> | undefined;
  #refusal: string | undefined;
  #asked = 0;
  #costly = 0;

  constructor(private readonly options: ForeignOptions) {}

  /** Why it is not used; undefined where it is, or was not asked yet. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** @throws Error with what is wrong */
  async ask(database: string, conflict: ConflictText): Promise<ResolutionText> {
    await this.#tested();
    if (this.#refusal !== undefined) throw new ForeignError(this.#refusal);
    this.#cage ??= this.options.open();
    this.#asked++;
    try {
      return await askIn(this.#cage, database, conflict);
    } catch (error) {
      if (error instanceof ForeignError && error.isCostly) this.#isCostly();
      throw error;
    }
  }

  close(): void {
    this.#cage?.close();
    this.#cage = undefined;
  }

  /** Once; again where it came to no end. */
  async #tested(): Promise<void> {
    this.#test ??= this.options.test(this.options.open).then((reason) => {
      if (reason !== undefined) this.#refuse(`it is refused: ${reason}`);
    });
    try {
      await this.#test;
    } catch (error) {
      this.#test = undefined;
      throw error;
    }
  }

  /** All others wait for a function that takes long: one that does so again and again is not asked any more. */
  #isCostly(): void {
    if (++this.#costly <= COSTLY + this.#asked / ONE_IN || this.#refusal !== undefined) return;
    this.#refuse('it took too much time or memory again and again');
  }

  #refuse(reason: string): void {
    this.#refusal = reason;
    this.options.onRefused(reason);
  }
}

/** @throws ForeignError, or ResolutionError where it answers nonsense */
export async function askIn(cage: Cage, database: string, conflict: ConflictText): Promise<ResolutionText> {
  const text = conflictJson(database, conflict);
  if (text.length > MOST_CHARACTERS) throw new ResolutionError('its leaves are too large for it');
  return inTurns(read(conflict, await cage.ask(text)));
}

function* read(conflict: ConflictText, returned: string): Work<ResolutionText> {
  const reader = new JsonReader(returned);
  const text = yield* reader.readLongText();
  return yield* readResolution(conflict, text);
}
