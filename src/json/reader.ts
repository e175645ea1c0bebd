import { cleanEnd } from './clean.js';
import {
  checking,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  type Container,
  OPEN_BRACE,
  OPEN_BRACKET,
  rewriting,
} from './containers.js';
import { MemberText } from './member-text.js';
import { JsonDepthError, JsonScanner } from './scanner.js';
import { atOnce, type Work } from './turns.js';

export { JsonDepthError, JsonError } from './scanner.js';

/** Deeper nesting is refused: what is read must be fit for functions that call themselves. */
export const MAX_DEPTH = 2500;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;

/** Long work may be interrupted each time it has gone so many characters further. */
const STRIDE = 16_384;

/** A place that a reader may go back to. */
export interface Mark {
  readonly at: number;
  /** Of objects and arrays around it. */
  readonly depth: number;
}

/**
 * JSON that keeps its text. Documents pass through as text, so that integers beyond 2^53, `1.0` and the order of
 * keys survive; only the members that must be understood are turned into values.
 *
 * Text is brought into one form, CouchDB's: no white space, of duplicate keys only the last, escapes only where JSON
 * demands them, integers as they came, other numbers in the shortest form that still shows a fraction (`100.0`).
 *
 * Reads one JSON text from its beginning to its end, value by value. The text comes from `decodeBody`: it is well formed.
 */
export class JsonReader extends JsonScanner {
  #depth = 0;
  /** Whether an object or array was just opened. */
  #opened = false;
  /** Where the member that `nextMember` named last begins, and how much was unclean before it. */
  #memberAt = 0;
  #uncleanBefore = 0;
  /** Where `isTime` is true again. */
  #pause = STRIDE;

  /** Whether so much was read since this was last true that long work should yield. */
  isTime(): boolean {
    if (this.at < this.#pause) return false;
    this.#pause = this.at + STRIDE;
    return true;
  }

  /** What kind of value comes next. */
  peek(): 'object' | 'array' | 'other' {
    const c = this.next();
    return c === OPEN_BRACE ? 'object' : c === OPEN_BRACKET ? 'array' : 'other';
  }

  /** Begins to read an object: the value of each member that `nextMember` names must be read. */
  openObject(): void {
    this.#open(OPEN_BRACE);
  }

  /** The name of the next member, again for a key that is repeated; undefined at the end of the object. */
  nextMember(): string | undefined {
    if (!this.#more(CLOSE_BRACE)) return undefined;
    this.next();
    this.#memberAt = this.at;
    this.#uncleanBefore = this.unclean;
    const key = this.#key();
    return key.includes('\\') ? (JSON.parse(key) as string) : key.slice(1, -1);
  }

  /** A list for members of the object that is read, which `gather` fills. */
  newMembers(): MemberText {
    return new MemberText(this.source);
  }

  /**
   * The text of the member that `nextMember` named last and of those that follow it, up to the first whose name begins with an
   * underscore, or the end of the object; undefined where not all of them can be taken as they stand. They are read then.
   */
  readClean(): string | undefined {
    if (this.unclean !== this.#uncleanBefore) return undefined;
    const end = cleanEnd(this.source, this.#memberAt, Math.min(this.at + STRIDE, this.source.length));
    if (end < 0) return undefined;
    this.at = end;
    return this.source.slice(this.#memberAt, end);
  }

  /** Adds the member to a list that `nextMember` named last and whose value was read since then. */
  gather(members: MemberText, name: string, value: string): void {
    if (this.unclean === this.#uncleanBefore) members.takeOver(name, this.#memberAt, this.at);
    else members.append(name, value);
  }

  /** Where the next value begins, to go back there. */
  mark(): Mark {
    this.next();
    return { at: this.at, depth: this.#depth };
  }

  /** Reads a value once more, of which a part was read, or all of it. */
  goBack({ at, depth }: Mark): void {
    this.at = this.#pause = at;
    this.#depth = depth;
  }

  /** Begins to read an array: each element that `nextElement` finds must be read. */
  openArray(): void {
    this.#open(OPEN_BRACKET);
  }

  /** Whether there is one more; false ends the array. */
  nextElement(): boolean {
    return this.#more(CLOSE_BRACKET);
  }

  /** The next value as text in the form described above. */
  readText(): string {
    const c = this.next();
    return isBracket(c) ? atOnce(this.#container()) : this.scalar(c);
  }

  /** `readText` for what may be long. */
  *readLongText(): Work<string> {
    const c = this.next();
    return isBracket(c) ? yield* this.#container() : this.scalar(c);
  }

  /** `readText` for what is short, which most values are; undefined for what is not, and nothing is read then. */
  readShortText(): string | undefined {
    const c = this.next();
    if (!isBracket(c)) return this.scalar(c);
    const mark = this.mark();
    const { unclean } = this;
    if (this.#walk(new Walk(checking))) return this.#textSince(mark.at, unclean) ?? this.#rewritten(mark.at);
    this.goBack(mark);
    this.unclean = unclean;
    return undefined;
  }

  /** Checks a value that nobody wants. */
  *skip(): Work<void> {
    yield* this.#through(checking);
  }

  /** The next value. */
  readValue(): unknown {
    return JSON.parse(this.readText()) as unknown;
  }

  /** @throws JsonError if anything but white space is left. */
  end(): void {
    this.next();
    if (this.at !== this.source.length) this.fail();
  }

  #open(bracket: number): void {
    if (this.next() !== bracket) this.fail();
    if (++this.#depth > MAX_DEPTH)
      throw new JsonDepthError(`JSON may not nest deeper than ${String(MAX_DEPTH)}`);
    this.at++;
    this.#opened = true;
  }

  /** Moves to the next member or element; false where the object or array closes instead. */
  #more(bracket: number): boolean {
    const c = this.next();
    const first = this.#opened;
    this.#opened = false;
    if (c === bracket) {
      this.at++;
      this.#depth--;
      return false;
    }
    if (first) return true;
    if (c !== COMMA) this.fail();
    this.at++;
    return true;
  }

  /** A member's key in its final form, quotes included, and its colon. */
  #key(): string {
    if (this.next() !== QUOTE) this.fail();
    const key = this.string();
    if (this.next() !== COLON) this.fail();
    this.at++;
    return key;
  }

  /** Reads an object or an array: mostly its text is what it should be, and need not be put together again. */
  *#container(): Work<string> {
    const mark = this.mark();
    const { unclean } = this;
    yield* this.#through(checking);
    const text = this.#textSince(mark.at, unclean);
    if (text !== undefined) return text;
    this.goBack(mark);
    return yield* this.#through(rewriting);
  }

  /** What was read, unless it must be put together again. */
  #textSince(start: number, unclean: number): string | undefined {
    return this.unclean === unclean ? this.source.slice(start, this.at) : undefined;
  }

  /** A short value once more, put together: when it is time to yield does not change. */
  #rewritten(start: number): string {
    this.at = start;
    return atOnce(this.#through(rewriting));
  }

  *#through(newContainer: NewContainer): Work<string> {
    const walk = new Walk(newContainer);
    while (!this.#walk(walk)) yield;
    return walk.text;
  }

  /** Goes on through a value without calling itself, so that it can stop anywhere. @returns whether it came to its end */
  #walk(walk: Walk): boolean {
    for (;;) {
      if (this.isTime()) return false;
      const c = this.next();
      if (isBracket(c)) {
        this.#open(c);
        walk.enter(c);
      } else if (walk.inner?.keeps === false) {
        this.pass(c);
      } else {
        walk.take(this.scalar(c));
      }
      while (walk.inner !== undefined && !this.#advance(walk.inner)) walk.leave();
      if (walk.inner === undefined) return true;
    }
  }

  /** Moves to the next value in a container; false where it closes. */
  #advance(container: Container): boolean {
    if (!container.isObject) return this.#more(CLOSE_BRACKET);
    if (!this.#more(CLOSE_BRACE)) return false;
    if (!container.key(this.#key())) this.unclean++;
    return true;
  }
}

type NewContainer = (bracket: number) => Container;

const isBracket = (c: number): boolean => c === OPEN_BRACE || c === OPEN_BRACKET;

/** A way through a value, which may be interrupted. */
class Walk {
  /** Where it is. */
  inner: Container | undefined;
  /** What encloses that. */
  readonly #outer: Container[] = [];
  /** Of the whole value, at its end. */
  text = '';

  constructor(private readonly newContainer: NewContainer) {}

  enter(bracket: number): void {
    if (this.inner !== undefined) this.#outer.push(this.inner);
    this.inner = this.newContainer(bracket);
  }

  /** Takes the text of a value. */
  take(text: string): void {
    if (this.inner === undefined) this.text = text;
    else this.inner.value(text);
  }

  /** To be called where a container closes. */
  leave(): void {
    const text = this.inner?.text() ?? '';
    this.inner = this.#outer.pop();
    this.take(text);
  }
}
