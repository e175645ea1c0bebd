import { type Inner, Leaf } from './node.js';
import type { Parsed } from './order.js';
import type { NodeReader, Ref, Root, Row } from './types.js';

/** Nodes that are asked for at once when rows are read on and on, and characters below them, about. */
const AHEAD = 16;
const AHEAD_SIZE = 1 << 18;

async function open(store: NodeReader, ref: Ref): Promise<Leaf | Inner> {
  const [node] = await store.read([ref.node]);
  if (node === undefined) throw new RangeError('what is asked for is read');
  return node;
}

/**
 * How many rows stand before a place.
 * @param isBefore whether a row does; true of all rows up to one, and of none behind it
 */
export async function rank(
  store: NodeReader,
  root: Root,
  isBefore: (place: Parsed) => boolean,
): Promise<number> {
  let ref = root;
  let before = 0;
  while (ref !== undefined) {
    const node = await open(store, ref);
    const at = firstNot(node, isBefore);
    if (node instanceof Leaf) return before + at;
    for (const child of node.children.slice(0, at)) before += child.rows;
    ref = node.children[at];
  }
  return before;
}

function firstNot(node: Leaf | Inner, isBefore: (place: Parsed) => boolean): number {
  let low = 0;
  let high = node.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(node.parsed(middle))) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Some rows of a leaf, in the order of the tree. */
export interface Slice {
  readonly leaf: Leaf;
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/**
 * The rows from one number on up to another, exclusive, leaf by leaf; with `descending` the last ones first, each slice to
 * be read from its end.
 */
export async function* slices(
  store: NodeReader,
  root: Root,
  from: number,
  to: number,
  descending = false,
): AsyncGenerator<Slice> {
  if (root === undefined || from >= to) return;
  yield* below({ store, descending, leaves: 0 }, { node: await open(store, root), from, to });
}

/** A way through the rows of a tree. */
interface Way {
  readonly store: NodeReader;
  readonly descending: boolean;
  /** Leaves that were come by. */
  leaves: number;
}

/** A node, and which of the rows below it are wanted, counted from its first. */
interface Part {
  readonly node: Leaf | Inner;
  readonly from: number;
  readonly to: number;
}

async function* below(way: Way, { node, from, to }: Part): AsyncGenerator<Slice> {
  if (node instanceof Leaf) {
    way.leaves++;
    yield { leaf: node, from, to: Math.min(to, node.length) };
    return;
  }
  const wanted = within(node.children, from, to);
  if (way.descending) wanted.reverse();
  for (let at = 0; at < wanted.length;) {
    const page = ahead(wanted, at, way.leaves);
    at += page.length;
    const nodes = await way.store.read(page.map(({ ref }) => ref.node));
    for (const [nth, child] of nodes.entries()) {
      const { from: first = 0, to: end = 0 } = page[nth] ?? {};
      yield* below(way, { node: child, from: first, to: end });
    }
  }
}

/** What is read next, rows of any length in mind: the more was wanted so far, the more. */
function ahead(wanted: readonly Wanted[], from: number, leaves: number): readonly Wanted[] {
  let size = 0;
  const page = wanted.slice(from, from + Math.max(1, Math.min(AHEAD, leaves)));
  const large = page.findIndex(({ ref }) => (size += ref.size) > AHEAD_SIZE);
  return large === -1 ? page : page.slice(0, Math.max(1, large));
}

interface Wanted {
  readonly ref: Ref;
  readonly from: number;
  readonly to: number;
}

/** The children with rows of a range, and which of their rows these are. */
function within(children: readonly Ref[], from: number, to: number): Wanted[] {
  const wanted: Wanted[] = [];
  let start = 0;
  for (const ref of children) {
    const end = start + ref.rows;
    if (start >= to) break;
    if (end > from) wanted.push({ ref, from: Math.max(0, from - start), to: Math.min(ref.rows, to - start) });
    start = end;
  }
  return wanted;
}

/** What a range of rows reduces to has to be worked out of these, in the order of the tree. */
export type Portion =
  | { readonly kind: 'rows'; readonly rows: readonly Row[] }
  | { readonly kind: 'reduced'; readonly reduction: string };

/** Rows with one group key, and what they are to be reduced from. */
export interface Group {
  /** The place of one of its rows. */
  readonly place: Parsed;
  readonly portions: readonly Portion[];
}

/**
 * Groups of the rows from one number on up to another, in order. Whatever stands below one node and is of one group is
 * taken from what its parent keeps of it: a group takes a path or two.
 * @param sameGroup whether two rows are of one group; groups are ranges of rows
 * @param reducer which of the reductions of the view
 */
export async function* groups(
  store: NodeReader,
  root: Root,
  range: { readonly from: number; readonly to: number; readonly descending: boolean },
  reducer: number,
  sameGroup: (a: Parsed, b: Parsed) => boolean,
): AsyncGenerator<Group> {
  let place: Parsed | undefined;
  let portions: Portion[] = [];
  for await (const [where, portion] of pieces(store, root, range, reducer, sameGroup)) {
    if (place !== undefined && !sameGroup(place, where)) {
      yield { place, portions: inOrder(portions, range.descending) };
      portions = [];
    }
    place = where;
    portions.push(portion);
  }
  if (place !== undefined) yield { place, portions: inOrder(portions, range.descending) };
}

const inOrder = (portions: Portion[], descending: boolean): readonly Portion[] =>
  descending ? portions.reverse() : portions;

interface Walk {
  readonly store: NodeReader;
  readonly reducer: number;
  readonly descending: boolean;
  readonly sameGroup: (a: Parsed, b: Parsed) => boolean;
}

/** Portions of groups, each with the place of one of its rows. */
async function* pieces(
  store: NodeReader,
  root: Root,
  { from, to, descending }: { readonly from: number; readonly to: number; readonly descending: boolean },
  reducer: number,
  sameGroup: (a: Parsed, b: Parsed) => boolean,
): AsyncGenerator<readonly [Parsed, Portion]> {
  if (root === undefined || from >= to) return;
  const walk = { store, reducer, descending, sameGroup };
  yield* piecesBelow(walk, { node: await open(store, root), from, to }, undefined);
}

/** @param before the place of the row before the node's first, where there is one */
async function* piecesBelow(
  walk: Walk,
  { node, from, to }: Part,
  before: Parsed | undefined,
): AsyncGenerator<readonly [Parsed, Portion]> {
  if (node instanceof Leaf) {
    yield* piecesOf(walk, node, from, to);
    return;
  }
  const { store, reducer, descending, sameGroup } = walk;
  const wanted = within(node.children, from, to);
  if (descending) wanted.reverse();
  for (const part of wanted) {
    const at = node.children.indexOf(part.ref);
    const last = node.parsed(at);
    const previous = at === 0 ? before : node.parsed(at - 1);
    const isWhole = part.from === 0 && part.to === part.ref.rows;
    if (isWhole && previous !== undefined && sameGroup(previous, last)) {
      yield [last, { kind: 'reduced', reduction: part.ref.reductions[reducer] ?? 'null' }];
    } else {
      yield* piecesBelow(walk, { node: await open(store, part.ref), from: part.from, to: part.to }, previous);
    }
  }
}

/** The rows of a leaf, those of one group together. */
function* piecesOf(
  { descending, sameGroup }: Walk,
  leaf: Leaf,
  from: number,
  to: number,
): Generator<readonly [Parsed, Portion]> {
  const runs: [Parsed, Row[]][] = [];
  for (let at = from; at < to; at++) {
    const place = leaf.parsed(at);
    const run = runs.at(-1);
    if (run !== undefined && sameGroup(run[0], place)) run[1].push(leaf.row(at));
    else runs.push([place, [leaf.row(at)]]);
  }
  if (descending) runs.reverse();
  for (const [place, rows] of runs) yield [place, { kind: 'rows', rows }];
}
