import type { Work } from '../../json/turns.js';
import { innerText, leafText } from './node.js';
import type { Change, Reducer, Ref, Row } from './types.js';

/** What nodes of one kind consist of. */
export interface Kind<T> {
  /** Characters that an item takes in its node, about. */
  weigh(item: T): number;
  /** So many items make a node, unless there are no more. */
  readonly least: number;
  text(items: readonly T[]): string;
  /** What a reducer makes of the items of each node. */
  reduce(reducer: Reducer, at: number, nodes: readonly (readonly T[])[]): Promise<readonly string[]>;
  /** What whoever points to the node has to know of it beside its number and reductions. */
  measure(items: readonly T[]): Pick<Ref, 'rows' | 'size' | 'last'>;
}

/** Characters of a node, about. Whatever is changed in one is written anew, and read whole. */
export const TARGET = 4096;

/** Lengths and numbers in the first line of a node. */
const ROW_HEAD = 12;
const REF_HEAD = 30;

/** Characters of a row, or of what is changed of it. */
export const sizeOf = ({ key, id, value = '' }: Change): number => key.length + id.length + value.length;

export const leaves: Kind<Row> = {
  weigh: (row) => sizeOf(row) + ROW_HEAD,
  least: 1,
  text: leafText,
  reduce: (reducer, _at, nodes) => reducer.reduce(nodes),
  measure: (items) => {
    const { key, id, nth } = lastOf(items);
    const size = items.reduce((sum, row) => sum + sizeOf(row), 0);
    return { rows: items.length, size, last: { key, id, nth } };
  },
};

export const inners: Kind<Ref> = {
  weigh: ({ last, reductions }) =>
    last.key.length + last.id.length + reductions.reduce((sum, { length }) => sum + length, REF_HEAD),
  // With one child each there would be no end of levels.
  least: 2,
  text: innerText,
  reduce: (reducer, at, nodes) =>
    reducer.rereduce(nodes.map((children) => children.map(({ reductions }) => reductions[at] ?? 'null'))),
  measure: (items) => ({
    rows: items.reduce((sum, { rows }) => sum + rows, 0),
    size: items.reduce((sum, { size }) => sum + size, 0),
    last: lastOf(items).last,
  }),
};

function lastOf<T>(items: readonly T[]): T {
  const last = items.at(-1);
  if (last === undefined) throw new RangeError('a node has something in it');
  return last;
}

/** Items shared out evenly among as few nodes as hold them. */
export function* divide<T>(items: readonly T[], kind: Kind<T>): Work<readonly (readonly T[])[]> {
  const { least } = kind;
  const weights = items.map((item) => kind.weigh(item));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const number = Math.max(1, Math.min(Math.ceil(total / TARGET), Math.floor(items.length / least)));
  const nodes: T[][] = [];
  let node: T[] = [];
  let weight = 0;
  for (const [at, item] of items.entries()) {
    yield;
    node.push(item);
    weight += weights[at] ?? 0;
    const isFull = weight >= ((nodes.length + 1) * total) / number && node.length >= least;
    if (!isFull || items.length - at - 1 < least) continue;
    nodes.push(node);
    node = [];
  }
  if (node.length > 0) nodes.push(node);
  return nodes;
}
