import { LARGE } from './large-bodies.js';

/** Characters of bodies that are read at once, about. */
const TARGET = 256 * 1024;
const FIRST = 32;
const MOST = 100;

/** Characters that are read at once at the very most, but for a single body that is longer: none where none is large. */
const LIMIT = MOST * LARGE;

/** Undefined where there is none. */
type Text = string | undefined;

/** Something that has a body, and the body. */
export interface Read<T> {
  readonly item: T;
  readonly text: Text;
}

/** Where bodies are read. */
export interface BodySource<R> {
  /** Characters that a body has at most. */
  bodyBound(wanted: R): number;
  readMany(wanted: readonly R[]): Promise<readonly Text[]>;
}

/**
 * Reads bodies a page at a time, so that a request's memory does not grow with their length. How long most of them are
 * is known only when they are read: it begins with few, and goes on with as many as are not too much if the next are
 * like the last. Large ones are known before.
 */
export class BodyPages<R> {
  #size = FIRST;

  constructor(private readonly source: BodySource<R>) {}

  /** Every item of a list with its body. */
  async *pages<T>(items: readonly T[], wantedOf: (item: T) => R): AsyncGenerator<readonly Read<T>[]> {
    let at = 0;
    while (at < items.length) {
      const texts = await this.read(items.slice(at, at + MOST).map(wantedOf));
      const read = items.slice(at, at + texts.length);
      at += texts.length;
      yield read.map((item, index) => ({ item, text: texts[index] }));
    }
  }

  /** The first bodies of a list: as many as are good to have at once. */
  async read(wanted: readonly R[]): Promise<readonly Text[]> {
    const texts = await this.source.readMany(this.#first(wanted));
    if (texts.length === 0) return texts;
    const length = texts.reduce((sum, text) => sum + (text?.length ?? 0), 0);
    const fitting = Math.floor((TARGET * texts.length) / Math.max(length, 1));
    this.#size = Math.max(1, Math.min(MOST, fitting, this.#size * 4));
    return texts;
  }

  #first(wanted: readonly R[]): readonly R[] {
    const first: R[] = [];
    let length = 0;
    for (const one of wanted.slice(0, this.#size)) {
      length += this.source.bodyBound(one);
      if (length > LIMIT && first.length > 0) break;
      first.push(one);
    }
    return first;
  }
}
