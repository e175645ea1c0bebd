import { quote } from '../json/quote.js';
import { canonicalNumber } from './canonical.js';

/** A JSON value that keeps its text: digits beyond a double, `1.0`, the order of members. */
export type Value = ScalarValue | ArrayValue | ObjectValue;

interface Node {
  /** In the form of `JsonReader`. */
  readonly text: string;
  /**
   * Values of one `Values` that are equal have the same number here, whatever their texts are: numbers are equal by
   * their exact decimal value, objects whatever the order of their members.
   */
  readonly identity: number;
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

/** Knows which values are equal: comparing any two of one merge costs nothing then, however deep they are. */
export class Values {
  readonly #identities = new Map<string, number>();

  scalar(kind: ScalarValue['kind'], text: string): ScalarValue {
    return { kind, text, identity: this.#identity(kind === 'number' ? canonicalNumber(text) : text) };
  }

  string(value: string): ScalarValue {
    return this.scalar('string', quote(value));
  }

  /** @param text what stands there, if it does already */
  array(elements: readonly Value[], text = `[${elements.map((one) => one.text).join(',')}]`): ArrayValue {
    return { kind: 'array', text, elements, identity: this.#identity(`[${identities(elements)}`) };
  }

  /** @param text what stands there, if it does already */
  object(members: ReadonlyMap<string, Value>, text = `{${membersText(members)}}`): ObjectValue {
    const names = [...members.keys()].sort();
    const shape = names.map((name) => `${quote(name)}${String(members.get(name)?.identity)}`).join('');
    return { kind: 'object', text, members, identity: this.#identity(`{${shape}`) };
  }

  /** Texts of scalars, shapes of arrays and shapes of objects begin differently. */
  #identity(shape: string): number {
    const { size } = this.#identities;
    const known = this.#identities.get(shape);
    if (known === undefined) this.#identities.set(shape, size);
    return known ?? size;
  }
}

const identities = (values: readonly Value[]): string => values.map((one) => one.identity).join(',');

/** Members as text without the braces around them. */
export const membersText = (members: ReadonlyMap<string, Value>): string =>
  Array.from(members, ([name, { text }]) => `${quote(name)}:${text}`).join(',');

/** What a string says. */
export const stringOf = ({ text }: ScalarValue): string => JSON.parse(text) as string;
