import { quote } from '../json/quote.js';
import { canonicalNumber } from './canonical.js';

/** A JSON value that keeps its text: digits beyond a double, `1.0`, the order of members. */
export type Value = ScalarValue | ArrayValue | ObjectValue;

interface Node {
  /** In the form of `JsonReader`. */
  readonly text: string;
  /** What `canonical` makes of its text, where that is known. */
  readonly canonical?: string;
  /** For `Values` alone: worked out when somebody asks. */
  identity: number | undefined;
}

export interface ScalarValue extends Node {
  /** `literal`: true, false and null. */
  readonly kind: 'string' | 'number' | 'literal';
}

export interface ArrayValue extends Node {
  readonly kind: 'array';
  readonly elements: readonly Value[];
}

export interface ObjectValue extends Node {
  readonly kind: 'object';
  readonly members: ReadonlyMap<string, Value>;
}

/**
 * Makes values and knows which are equal, whatever their texts are: numbers are by their exact decimal value, objects
 * whatever the order of their members. Mostly their texts tell; where they do not, all that lies in a value is looked at
 * once, however often it is compared.
 */
export class Values {
  readonly #identities = new Map<string, number>();

  /** @param numberShape one text for numbers that are equal */
  constructor(private readonly numberShape: (text: string) => string = canonicalNumber) {}

  scalar(kind: ScalarValue['kind'], text: string): ScalarValue {
    return { kind, text, identity: undefined };
  }

  string(value: string): ScalarValue {
    return this.scalar('string', quote(value));
  }

  /** @param text what stands there, if it does already */
  array(elements: readonly Value[], text = `[${elements.map((one) => one.text).join(',')}]`): ArrayValue {
    return { kind: 'array', text, elements, identity: undefined };
  }

  /** @param text what stands there, if it does already */
  object(members: ReadonlyMap<string, Value>, text?: string): ObjectValue {
    return new ObjectOf(members, text);
  }

  areSame(a: Value, b: Value): boolean {
    if (a.text === b.text) return true;
    if (a.kind !== b.kind || a.kind === 'string' || a.kind === 'literal') return false;
    return this.identityOf(a) === this.identityOf(b);
  }

  /** A number that equal values have in common. */
  identityOf(value: Value): number {
    // Not by calling itself: values nest deep.
    const open: Value[] = [value];
    let identity = -1;
    for (let inner = open.at(-1); inner !== undefined; inner = open.at(-1)) {
      const count = open.length;
      if (inner.identity === undefined) addUnknown(inner, open);
      if (open.length > count) continue;
      identity = inner.identity ??= this.#numbered(shapeOf(inner, this.numberShape));
      open.pop();
    }
    return identity;
  }

  #numbered(shape: string): number {
    const { size } = this.#identities;
    const known = this.#identities.get(shape);
    if (known === undefined) this.#identities.set(shape, size);
    return known ?? size;
  }
}

function addUnknown(value: Value, open: Value[]): void {
  if (value.kind === 'array') {
    for (const one of value.elements) if (one.identity === undefined) open.push(one);
  } else if (value.kind === 'object') {
    for (const one of value.members.values()) if (one.identity === undefined) open.push(one);
  }
}

/** One text for equal values, whose elements and members are known by their numbers. Each kind begins differently. */
function shapeOf(value: Value, numberShape: (text: string) => string): string {
  if (value.kind === 'array') return `[${value.elements.map(({ identity }) => identity).join(',')}`;
  if (value.kind === 'number') return numberShape(value.text);
  if (value.kind !== 'object') return value.text;
  const names = [...value.members.keys()].sort();
  return `{${names.map((name) => `${quote(name)}${String(value.members.get(name)?.identity)}`).join('')}`;
}

/** An object whose text is put together when somebody asks: what is merged with the next leaf needs none. */
class ObjectOf implements ObjectValue {
  readonly kind = 'object';
  identity: number | undefined = undefined;
  #text: string | undefined;

  constructor(
    readonly members: ReadonlyMap<string, Value>,
    text: string | undefined,
  ) {
    this.#text = text;
  }

  get text(): string {
    return (this.#text ??= `{${membersText(this.members)}}`);
  }
}

/** Members as text without the braces around them. */
export const membersText = (members: ReadonlyMap<string, Value>): string =>
  Array.from(members, ([name, { text }]) => `${quote(name)}:${text}`).join(',');

/** What a string says. */
export const stringOf = ({ text }: ScalarValue): string => JSON.parse(text) as string;
