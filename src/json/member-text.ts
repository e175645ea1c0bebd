import { checking, OPEN_BRACE } from './containers.js';

/**
 * Gathers some members of an object as text, in the order in which they come. Mostly they follow each other in the
 * source and have their final form there: then they are cut out in one piece.
 */
export class MemberText {
  readonly #keys = checking(OPEN_BRACE);
  #before = '';
  /** A piece of the source that follows; there is none where `#to` is 0. */
  #from = 0;
  #to = 0;
  #hasRepeated = false;

  constructor(private readonly source: string) {}

  /** Whether a key came twice: what was gathered holds both then. */
  get hasRepeated(): boolean {
    return this.#hasRepeated;
  }

  /** Whether nothing was gathered. */
  get isEmpty(): boolean {
    return this.#to === 0 && this.#before === '';
  }

  /** All members with commas between them. */
  get text(): string {
    this.#close();
    return this.#before;
  }

  /** A member that stands in the source in its final form. */
  takeOver(key: string, from: number, to: number): void {
    this.#note(key);
    // Between two that follow each other is the comma.
    if (this.#to === 0 || from !== this.#to + 1) {
      this.#close();
      this.#from = from;
    }
    this.#to = to;
  }

  append(key: string, value: string): void {
    this.#note(key);
    this.#close();
    this.#add(`${JSON.stringify(key)}:${value}`);
  }

  #note(key: string): void {
    if (!this.#keys.key(key)) this.#hasRepeated = true;
  }

  #close(): void {
    if (this.#to > 0) this.#add(this.source.slice(this.#from, this.#to));
    this.#to = 0;
  }

  #add(text: string): void {
    this.#before = this.#before === '' ? text : `${this.#before},${text}`;
  }
}
