import { quote } from '../../json/quote.js';
import type { Parsed } from './order.js';
import type { Place, Ref, Row } from './types.js';

/**
 * The text of a node: a line with the lengths of its parts, then the parts, one behind the other. So a node is read by
 * one small parse, and the parts are slices of its text.
 *
 * A leaf begins with `L`; each row is key, quoted id, value, and the line has their lengths and `nth`. An inner node begins
 * with `N`; each child is the key and the quoted id of its last row and its reductions, and the line has number, rows,
 * size, `nth`, and the lengths.
 */

/** A node that was read. Keys are parsed when they are compared, each once. */
abstract class Node {
  readonly #parsed: (Parsed | undefined)[] = [];

  abstract readonly length: number;
  /** Characters of its text. */
  abstract readonly size: number;
  /** Where a row stands, or the last row of a child. */
  abstract place(at: number): Place;

  parsed(at: number): Parsed {
    return (this.#parsed[at] ??= parse(this.place(at)));
  }
}

const parse = ({ key, id, nth }: Place): Parsed => ({ key: JSON.parse(key) as unknown, id, nth });

export class Leaf extends Node {
  readonly length: number;
  readonly size: number;
  readonly #starts: readonly number[];

  constructor(
    private readonly text: string,
    private readonly lengths: readonly number[],
    from: number,
  ) {
    super();
    this.length = lengths.length / 4;
    this.size = text.length;
    const starts: number[] = [];
    for (let at = 0, start = from; at < lengths.length; at += 4) {
      starts.push(start);
      start += this.#number(at) + this.#number(at + 1) + this.#number(at + 2);
    }
    this.#starts = starts;
  }

  #number(at: number): number {
    return this.lengths[at] ?? 0;
  }

  place(at: number): Place {
    return { key: this.key(at), id: unquote(this.quotedId(at)), nth: this.#number(4 * at + 3) };
  }

  row(at: number): Row {
    return { ...this.place(at), value: this.value(at) };
  }

  key(at: number): string {
    const start = this.#starts[at] ?? 0;
    return this.text.slice(start, start + this.#number(4 * at));
  }

  /** The id as JSON text. */
  quotedId(at: number): string {
    const start = (this.#starts[at] ?? 0) + this.#number(4 * at);
    return this.text.slice(start, start + this.#number(4 * at + 1));
  }

  value(at: number): string {
    const start = (this.#starts[at] ?? 0) + this.#number(4 * at) + this.#number(4 * at + 1);
    return this.text.slice(start, start + this.#number(4 * at + 2));
  }
}

export class Inner extends Node {
  constructor(
    readonly children: readonly Ref[],
    readonly size: number,
  ) {
    super();
  }

  get length(): number {
    return this.children.length;
  }

  place(at: number): Place {
    const child = this.children[at];
    if (child === undefined) throw new RangeError('no such child');
    return child.last;
  }
}

const unquote = (text: string): string =>
  text.includes('\\') ? (JSON.parse(text) as string) : text.slice(1, -1);

export function readNode(text: string): Leaf | Inner {
  const end = text.indexOf('\n');
  const lengths = JSON.parse(text.slice(1, end)) as number[];
  return text.startsWith('L')
    ? new Leaf(text, lengths, end + 1)
    : new Inner(readChildren(text, lengths, end + 1), text.length);
}

function readChildren(text: string, numbers: readonly number[], from: number): Ref[] {
  const [reducers = 0] = numbers;
  const children: Ref[] = [];
  let start = from;
  const part = (length = 0): string => text.slice(start, (start += length));
  for (let at = 1; at < numbers.length; at += 6 + reducers) {
    const [node = 0, rows = 0, size = 0, nth = 0, keyLength, idLength] = numbers.slice(at, at + 6);
    const last = { key: part(keyLength), id: unquote(part(idLength)), nth };
    const reductions = numbers.slice(at + 6, at + 6 + reducers).map(part);
    children.push({ node, rows, size, last, reductions });
  }
  return children;
}

export function leafText(rows: readonly Row[]): string {
  const lengths: number[] = [];
  let body = '';
  for (const { key, id, nth, value } of rows) {
    const quoted = quote(id);
    lengths.push(key.length, quoted.length, value.length, nth);
    body += key + quoted + value;
  }
  return `L${JSON.stringify(lengths)}\n${body}`;
}

export function innerText(children: readonly Ref[]): string {
  const numbers: number[] = [children[0]?.reductions.length ?? 0];
  let body = '';
  for (const { node, rows, size, last, reductions } of children) {
    const quoted = quote(last.id);
    numbers.push(node, rows, size, last.nth, last.key.length, quoted.length);
    numbers.push(...reductions.map(({ length }) => length));
    body += last.key + quoted + reductions.join('');
  }
  return `N${JSON.stringify(numbers)}\n${body}`;
}
