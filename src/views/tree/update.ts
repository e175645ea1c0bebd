import { sorting } from '../../json/sort.js';
import type { Turns, Work } from '../../json/turns.js';
import { Inner, Leaf } from './node.js';
import { comparePlaces, type Parsed, parsed, type PlaceOrder } from './order.js';
import { divide, inners, type Kind, leaves, sizeOf, TARGET } from './pieces.js';
import type { Change, NodeWriter, Reducer, Ref, Root, Row } from './types.js';

/** What decides how the rows of a tree stand, and what is kept of them. */
export interface TreeRules extends PlaceOrder {
  readonly reducers: readonly Reducer[];
}

/** With less than this below it, a node is put together with its neighbour. */
const SMALL = TARGET / 4;

/** Nodes that are reduced before others have a turn. */
const PAGE = 64;

/** Characters of leaves that are changed together, about: all that are changed below one node, but for long rows. */
const TOGETHER = 1 << 20;

/**
 * A tree with changes made to it; of one place there may be one change. Nodes are written and deleted through `store`:
 * what it is given has to reach the disk in one batch with the root. Besides the changes it has in memory what stands
 * below one node.
 * @param turns those of whoever does more than this
 */
export async function changeTree(
  root: Root,
  changes: readonly Change[],
  store: NodeWriter,
  rules: TreeRules,
  turns: Turns,
): Promise<Root> {
  if (changes.length === 0) return root;
  return new Update(store, rules, turns).run(root, await turns.run(sorted(changes, rules)));
}

interface Sorted {
  readonly change: Change;
  readonly place: Parsed;
}

function* sorted(changes: readonly Change[], order: PlaceOrder): Work<readonly Sorted[]> {
  const places: Sorted[] = [];
  for (const change of changes) {
    places.push({ change, place: parsed(change) });
    yield;
  }
  return yield* sorting(places, (a, b) => comparePlaces(order, a.place, b.place));
}

/** A child that is changed, or is only wanted for its small neighbour. */
interface Wanted {
  readonly ref: Ref;
  /** Which child of its parent it is. */
  readonly child: number;
  readonly changes: readonly Sorted[];
}

interface Opened extends Wanted {
  readonly node: Leaf | Inner;
}

class Update {
  constructor(
    private readonly store: NodeWriter,
    private readonly rules: TreeRules,
    private readonly turns: Turns,
  ) {}

  async run(root: Root, changes: readonly Sorted[]): Promise<Root> {
    if (root === undefined) return this.#top((await this.#write([added(changes)], leaves)).flat());
    const opened = await this.#open([{ ref: root, child: 0, changes }]);
    const [top] = opened;
    if (top?.node instanceof Inner) return this.#top(await this.#children(top.node, changes));
    return this.#top((await this.#replaced([opened])).flat());
  }

  /** The children of a node once the changes are made below it. */
  async #children(node: Inner, changes: readonly Sorted[]): Promise<readonly Ref[]> {
    const replaced = new Map<number, readonly Ref[]>();
    for (const some of together(await this.turns.run(this.#wanted(node, changes)))) {
      const runs = runsOf(await this.#open(some));
      const refs = await this.#replaced(runs);
      for (const [at, run] of runs.entries()) {
        for (const [nth, { child }] of run.entries()) replaced.set(child, nth === 0 ? (refs[at] ?? []) : []);
      }
    }
    return node.children.flatMap((ref, child) => replaced.get(child) ?? [ref]);
  }

  /** Nodes that others will stand in the place of. */
  async #open(wanted: readonly Wanted[]): Promise<readonly Opened[]> {
    const nodes = await this.store.read(wanted.map(({ ref }) => ref.node));
    return wanted.flatMap((one, at) => {
      this.store.delete(one.ref.node);
      const node = nodes[at];
      return node === undefined ? [] : [{ ...one, node }];
    });
  }

  /** Writes what stands in the place of each run of nodes. */
  async #replaced(runs: readonly (readonly Opened[])[]): Promise<readonly (readonly Ref[])[]> {
    if (runs[0]?.[0]?.node instanceof Leaf)
      return this.#write(await this.turns.run(this.#merged(runs)), leaves);
    const contents: Ref[][] = [];
    for (const run of runs) {
      const children: Ref[] = [];
      for (const { node, changes } of run) {
        if (node instanceof Inner) children.push(...(await this.#children(node, changes)));
      }
      contents.push(children);
    }
    return this.#write(contents, inners);
  }

  /** The children that have to be read, in their order. */
  *#wanted(node: Inner, changes: readonly Sorted[]): Work<readonly Wanted[]> {
    const shares = yield* this.#shares(node, changes);
    return node.children.flatMap((ref, child) => {
      const own = shares.get(child);
      return own === undefined ? [] : [{ ref, child, changes: own }];
    });
  }

  /** Which changes are made below which child; none where a child is only wanted for its small neighbour. */
  *#shares(node: Inner, changes: readonly Sorted[]): Work<ReadonlyMap<number, readonly Sorted[]>> {
    const shares = new Map<number, readonly Sorted[]>();
    const last = node.length - 1;
    let from = 0;
    for (let child = 0; child <= last && from < changes.length; child++) {
      const to = child === last ? changes.length : this.#countUpTo(node.parsed(child), changes, from);
      if (to > from) shares.set(child, changes.slice(from, to));
      from = to;
      yield;
    }
    for (const [child, share] of [...shares]) {
      const ref = node.children[child];
      const neighbour = child === last ? child - 1 : child + 1;
      if (ref === undefined || !becomesSmall(ref, share)) continue;
      if (neighbour >= 0 && !shares.has(neighbour)) shares.set(neighbour, []);
    }
    return shares;
  }

  /** How many changes are at this place or before it. */
  #countUpTo(place: Parsed, changes: readonly Sorted[], from: number): number {
    let low = from;
    let high = changes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const change = changes[middle];
      if (change !== undefined && comparePlaces(this.rules, change.place, place) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  *#merged(runs: readonly (readonly Opened[])[]): Work<readonly (readonly Row[])[]> {
    const contents: Row[][] = [];
    for (const run of runs) {
      const rows: Row[] = [];
      for (const { node, changes } of run) {
        if (node instanceof Leaf) yield* this.#merge(node, changes, rows);
      }
      contents.push(rows);
    }
    return contents;
  }

  /** Appends the rows of a leaf with its changes. */
  *#merge(leaf: Leaf, changes: readonly Sorted[], rows: Row[]): Work<void> {
    let at = 0;
    for (const { change, place } of changes) {
      let order = -1;
      while (at < leaf.length && (order = comparePlaces(this.rules, leaf.parsed(at), place)) < 0) {
        rows.push(leaf.row(at++));
      }
      if (at < leaf.length && order === 0) at++;
      if (change.value !== undefined) rows.push({ ...change, value: change.value });
      yield;
    }
    for (; at < leaf.length; at++) rows.push(leaf.row(at));
  }

  /** Writes new nodes. @returns those of each content */
  async #write<T>(contents: readonly (readonly T[])[], kind: Kind<T>): Promise<readonly (readonly Ref[])[]> {
    const divided = await this.turns.run(dividedAll(contents, kind));
    const nodes = divided.flat();
    const refs = await this.turns.run(this.#put(nodes, kind, await this.#reduce(nodes, kind)));
    let from = 0;
    return divided.map(({ length }) => refs.slice(from, (from += length)));
  }

  *#put<T>(
    nodes: readonly (readonly T[])[],
    kind: Kind<T>,
    reductions: readonly (readonly string[])[],
  ): Work<readonly Ref[]> {
    const refs: Ref[] = [];
    for (const [at, items] of nodes.entries()) {
      const node = this.store.next();
      this.store.put(node, kind.text(items));
      const own = reductions.map((each) => each[at] ?? 'null');
      refs.push({ node, ...kind.measure(items), reductions: own });
      yield;
    }
    return refs;
  }

  /** What each reducer makes of each node. */
  async #reduce<T>(nodes: readonly (readonly T[])[], kind: Kind<T>): Promise<readonly (readonly string[])[]> {
    const reductions: string[][] = this.rules.reducers.map(() => []);
    for (let from = 0; from < nodes.length; from += PAGE) {
      const page = nodes.slice(from, from + PAGE);
      for (const [at, reducer] of this.rules.reducers.entries()) {
        reductions[at]?.push(...(await kind.reduce(reducer, at, page)));
      }
      await this.turns.pass();
    }
    return reductions;
  }

  /** Puts as many levels above nodes as it takes for one to be the root. */
  async #top(nodes: readonly Ref[]): Promise<Root> {
    if (nodes.length <= 1) return nodes[0];
    return this.#top((await this.#write([nodes], inners)).flat());
  }
}

function* dividedAll<T>(
  contents: readonly (readonly T[])[],
  kind: Kind<T>,
): Work<readonly (readonly (readonly T[])[])[]> {
  const divided: (readonly (readonly T[])[])[] = [];
  for (const items of contents) divided.push(items.length === 0 ? [] : yield* divide(items, kind));
  return divided;
}

const added = (changes: readonly Sorted[]): readonly Row[] =>
  changes.flatMap(({ change }) => (change.value === undefined ? [] : [{ ...change, value: change.value }]));

/** Whether next to nothing will be left below a node. */
function becomesSmall({ rows, size }: Ref, changes: readonly Sorted[]): boolean {
  const gone = changes.filter(({ change }) => change.value === undefined).length;
  return gone > 0 && (size / rows) * Math.max(0, rows - gone) < SMALL;
}

/** As many at a time as are good to have at once. */
function together(wanted: readonly Wanted[]): readonly (readonly Wanted[])[] {
  const pages: Wanted[][] = [];
  let size = Infinity;
  for (const one of wanted) {
    if (size >= TOGETHER) {
      pages.push([]);
      size = 0;
    }
    pages.at(-1)?.push(one);
    size += one.changes.reduce((sum, { change }) => sum + sizeOf(change), one.ref.size);
  }
  return pages;
}

/** Those together that stand side by side. */
function runsOf(nodes: readonly Opened[]): readonly (readonly Opened[])[] {
  const runs: Opened[][] = [];
  for (const opened of nodes) {
    if (runs.at(-1)?.at(-1)?.child === opened.child - 1) runs.at(-1)?.push(opened);
    else runs.push([opened]);
  }
  return runs;
}
