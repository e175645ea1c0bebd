import { sorting } from '../../json/sort.js';
import { inTurns, Turns, type Work } from '../../json/turns.js';
import { Inner, Leaf, readNode } from './node.js';
import { comparePlaces, type Parsed, parsed, type PlaceOrder } from './order.js';
import { divide, inners, type Kind, leaves, TARGET } from './pieces.js';
import type { Change, NodeWriter, Reducer, Ref, Root, Row } from './types.js';

/** What decides how the rows of a tree stand, and what is kept of them. */
export interface TreeRules extends PlaceOrder {
  readonly reducers: readonly Reducer[];
}

/** With less than this below it, a node is put together with its neighbour. */
const SMALL = TARGET / 4;

/** Nodes that are read, or reduced, before others have a turn. */
const PAGE = 64;

/**
 * A tree with changes made to it; of one place there may be one change. Nodes are written and deleted through `store`:
 * what it is given has to reach the disk in one batch with the root. It takes memory for each node that is changed.
 */
export async function changeTree(
  root: Root,
  changes: readonly Change[],
  store: NodeWriter,
  rules: TreeRules,
): Promise<Root> {
  if (changes.length === 0) return root;
  return new Update(store, rules).run(root, await inTurns(sorted(changes, rules)));
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

/** A node that is to be read, with what is to be changed below it. */
interface Wanted {
  readonly ref: Ref;
  readonly changes: readonly Sorted[];
  /** Where it stands; the root has no parent. */
  readonly parent: Opened | undefined;
  readonly child: number;
}

interface Opened extends Wanted {
  readonly node: Leaf | Inner;
  /** Of an inner node: what stands in the place of its children, where that is something else now. */
  readonly replaced: Map<number, readonly Ref[]>;
}

class Update {
  constructor(
    private readonly store: NodeWriter,
    private readonly rules: TreeRules,
  ) {}

  async run(root: Root, changes: readonly Sorted[]): Promise<Root> {
    if (root === undefined) return this.#top((await this.#write([added(changes)], leaves)).flat());
    const levels = await this.#open(root, changes);
    for (const level of levels.slice(1).toReversed()) await this.#replace(level);
    const [top] = levels[0] ?? [];
    if (top?.node instanceof Inner) return this.#top(childrenOf(top));
    return this.#top(top === undefined ? [] : (await this.#write(await this.#rows([[top]]), leaves)).flat());
  }

  /** The nodes on the way to the changes, level by level, the root first. */
  async #open(root: Ref, changes: readonly Sorted[]): Promise<readonly (readonly Opened[])[]> {
    const levels: (readonly Opened[])[] = [];
    let wanted: readonly Wanted[] = [{ ref: root, changes, parent: undefined, child: 0 }];
    while (wanted.length > 0) {
      const level = await this.#read(wanted);
      levels.push(level);
      wanted = await inTurns(this.#below(level));
    }
    return levels;
  }

  /** The nodes of a level, which others will stand in the place of. */
  async #read(wanted: readonly Wanted[]): Promise<readonly Opened[]> {
    const level: Opened[] = [];
    for (let from = 0; from < wanted.length; from += PAGE) {
      const page = wanted.slice(from, from + PAGE);
      const texts = await this.store.read(page.map(({ ref }) => ref.node));
      for (const [at, one] of page.entries()) {
        this.store.delete(one.ref.node);
        level.push({ ...one, node: readNode(texts[at] ?? ''), replaced: new Map() });
      }
    }
    return level;
  }

  /** The nodes below a level that are changed, in their order. */
  *#below(level: readonly Opened[]): Work<readonly Wanted[]> {
    const wanted: Wanted[] = [];
    for (const parent of level) {
      if (!(parent.node instanceof Inner)) continue;
      const { children } = parent.node;
      const shares = yield* this.#shares(parent.node, parent.changes);
      for (const [child, ref] of children.entries()) {
        const changes = shares.get(child);
        if (changes !== undefined) wanted.push({ ref, changes, parent, child });
      }
    }
    return wanted;
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

  /** Writes what stands in the place of the nodes of a level, and tells their parents. */
  async #replace(level: readonly Opened[]): Promise<void> {
    const runs = runsOf(level);
    const isLeaves = level[0]?.node instanceof Leaf;
    const refs = isLeaves
      ? await this.#write(await this.#rows(runs), leaves)
      : await this.#write(
          runs.map((run) => run.flatMap(childrenOf)),
          inners,
        );
    for (const [at, run] of runs.entries()) {
      for (const [nth, { parent, child }] of run.entries()) {
        parent?.replaced.set(child, nth === 0 ? (refs[at] ?? []) : []);
      }
    }
  }

  #rows(runs: readonly (readonly Opened[])[]): Promise<readonly (readonly Row[])[]> {
    return Promise.resolve(inTurns(this.#merged(runs)));
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
    const divided = await inTurns(dividedAll(contents, kind));
    const nodes = divided.flat();
    const refs = await inTurns(this.#put(nodes, kind, await this.#reduce(nodes, kind)));
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
    const turns = new Turns();
    const reductions: string[][] = this.rules.reducers.map(() => []);
    for (let from = 0; from < nodes.length; from += PAGE) {
      const page = nodes.slice(from, from + PAGE);
      for (const [at, reducer] of this.rules.reducers.entries()) {
        reductions[at]?.push(...(await kind.reduce(reducer, at, page)));
      }
      await turns.pass();
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

/** The nodes of a level, those together that stand side by side below one parent. */
function runsOf(level: readonly Opened[]): readonly (readonly Opened[])[] {
  const runs: Opened[][] = [];
  for (const opened of level) {
    const before = runs.at(-1)?.at(-1);
    if (before?.parent === opened.parent && before?.child === opened.child - 1) runs.at(-1)?.push(opened);
    else runs.push([opened]);
  }
  return runs;
}

/** What stands in an inner node now. */
const childrenOf = ({ node, replaced }: Opened): readonly Ref[] =>
  node instanceof Inner ? node.children.flatMap((ref, at) => replaced.get(at) ?? [ref]) : [];
