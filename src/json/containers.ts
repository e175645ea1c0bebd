export const OPEN_BRACKET = 0x5b;
export const CLOSE_BRACKET = 0x5d;
export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;

/** An object or an array that `JsonReader` is in the middle of. */
export interface Container {
  readonly isObject: boolean;
  /** Whether it takes values. */
  readonly keeps: boolean;
  /** Takes the key of the next member, quotes included. @returns false where it was there already */
  key(text: string): boolean;
  /** Takes the next value. */
  value(text: string): void;
  /** What was taken, as text. */
  text(): string;
}

/** Containers that only find repeated keys. */
export const checking = (bracket: number): Container =>
  bracket === OPEN_BRACE ? new CheckedObject() : CHECKED_ARRAY;

/** Containers that put their contents together again. */
export const rewriting = (bracket: number): Container =>
  bracket === OPEN_BRACE ? new RewrittenObject() : new RewrittenArray();

/** Adds a member to those before it: the last of duplicate keys counts, and keeps its own place. */
export function putLast<V>(members: Map<string, V>, key: string, value: V): void {
  members.delete(key);
  members.set(key, value);
}

/** Up to this many keys a linear search for a duplicate beats a set. */
const FEW_KEYS = 12;

class CheckedObject implements Container {
  readonly isObject = true;
  readonly keeps = false;
  readonly #few: string[] = [];
  #many: Set<string> | undefined;

  key(text: string): boolean {
    if (this.#many !== undefined) {
      const before = this.#many.size;
      return this.#many.add(text).size !== before;
    }
    if (this.#few.includes(text)) return false;
    if (this.#few.push(text) > FEW_KEYS) this.#many = new Set(this.#few);
    return true;
  }

  value(): void {
    // Its text stays where it is.
  }

  text(): string {
    return '';
  }
}

const CHECKED_ARRAY: Container = {
  isObject: false,
  keeps: false,
  key: () => false,
  value: () => undefined,
  text: () => '',
};

class RewrittenObject implements Container {
  readonly isObject = true;
  readonly keeps = true;
  readonly #members = new Map<string, string>();
  #key = '';

  key(text: string): boolean {
    this.#key = text;
    return !this.#members.has(text);
  }

  value(text: string): void {
    putLast(this.#members, this.#key, text);
  }

  text(): string {
    let inside = '';
    for (const [key, text] of this.#members) inside += `${inside === '' ? '' : ','}${key}:${text}`;
    return `{${inside}}`;
  }
}

class RewrittenArray implements Container {
  readonly isObject = false;
  readonly keeps = true;
  readonly #elements: string[] = [];

  key(): boolean {
    return false;
  }

  value(text: string): void {
    this.#elements.push(text);
  }

  text(): string {
    return `[${this.#elements.join(',')}]`;
  }
}
