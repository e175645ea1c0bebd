import type { ConflictText, ResolutionText } from '../types.js';
import { admission } from './admission.js';
import { askIn } from './asking.js';
import { type Cage, CageUnavailable, ForeignError } from './cage.js';

/** So often it may take too much time or memory, … */
const COSTLY = 10;
/** … and beyond that once in so many conflicts. */
const ONE_IN = 10;

export interface ForeignOptions {
  /** Opens a place to run it in, in which nothing is left of others. */
  readonly open: () => Cage;
  /** Is told of a function that is not used, or not any more. */
  readonly onRefused: (reason: string) => void;
}

/** One version of a merge function that is not built in. It is tested before it is used. Must be closed. */
export class ForeignFunction {
  #cage: Cage | undefined;
  /** All that are open, those of its test too. */
  readonly #open = new Set<Cage>();
  #isClosed = false;
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
    this.#cage ??= this.#openCage();
    this.#asked++;
    try {
      return await askIn(this.#cage, database, conflict);
    } catch (error) {
      if (error instanceof ForeignError && error.isCostly) this.#isCostly();
      throw error;
    }
  }

  /** What it is asked just now fails, as something that cannot be asked at the moment. */
  close(): void {
    this.#isClosed = true;
    for (const cage of this.#open) cage.close();
    this.#open.clear();
  }

  #openCage(): Cage {
    // Whoever found it before it was closed may still ask.
    if (this.#isClosed) throw new CageUnavailable('the function is not used any more');
    const cage = this.options.open();
    this.#open.add(cage);
    return {
      ask: (conflict) => cage.ask(conflict),
      close: () => {
        this.#open.delete(cage);
        cage.close();
      },
    };
  }

  /** Once; again where it came to no end. */
  async #tested(): Promise<void> {
    this.#test ??= admission(() => this.#openCage()).then((reason) => {
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
