import { createHash } from 'node:crypto';
import { decide } from '../../../src/conflicts/decide.js';
import { resolved } from '../../../src/conflicts/resolved.js';
import { tombstoneRev, undoneRev } from '../../../src/conflicts/revisions.js';
import type {
  AttachmentSummary,
  ConflictText,
  Content,
  Decision,
  ResolutionText,
  Tombstone,
} from '../../../src/conflicts/types.js';
import { insert } from '../../../src/revtree/insert.js';
import { find, leavesOf, pathTo, revAt, type RevTree } from '../../../src/revtree/tree.js';

/** Asked as a merge function is; `exact` says whether each edit counts once in what comes out. */
export type Merge = (conflict: ConflictText) => { resolution: ResolutionText; exact: boolean };

export interface WorldOptions {
  /** `_revs_limit` of each replica. */
  readonly limits: readonly number[];
  /** Of each replica: the function that its gateway has, or undefined where nobody merges. */
  readonly functions: readonly (Merge | undefined)[];
  readonly equalIsSame: boolean;
}

/** One document on one replica. */
export interface Replica {
  tree: RevTree;
  readonly bodies: Map<string, Content>;
  readonly limit: number;
  readonly merge: Merge | undefined;
  /** How often it wrote something. */
  writes: number;
  /** Merged revisions that were made here, with the leaves that went in. */
  readonly journal: { readonly merged: string; readonly leaves: readonly string[] }[];
}

/** What really happened, of which replicas know parts. */
export interface Fact {
  readonly content: Content;
  readonly deleted: boolean;
  /** A client wrote it. */
  readonly isEdit: boolean;
  /** What it was made from. */
  readonly from: readonly string[];
  readonly exact: boolean;
}

/** Replicas of one document, and what really happened to it. */
export class World {
  readonly replicas: Replica[];
  readonly facts = new Map<string, Fact>();
  /** Leaves with the content of the one that stayed, by that one. */
  readonly equals = new Map<string, string[]>();
  readonly problems: string[] = [];
  #count = 0;

  constructor(private readonly options: WorldOptions) {
    this.replicas = options.limits.map((limit, at) => ({
      tree: [],
      bodies: new Map(),
      limit,
      merge: options.functions[at],
      writes: 0,
      journal: [],
    }));
  }

  replica(at: number): Replica {
    const replica = this.replicas[at % this.replicas.length];
    if (replica === undefined) throw new Error('no replica');
    return replica;
  }

  /** A client edits a leaf, or makes the document anew. @returns the revision */
  edit(at: number, content: Content, { leaf = 0, deleted = false, salt = 0 } = {}): string {
    const replica = this.replica(at);
    const live = liveOf(replica);
    // CouchDB puts what is made anew below the deleted winner.
    const parent = live.length > 0 ? live[leaf % live.length] : leavesOf(replica.tree).map(revAt)[0];
    const generation = parent === undefined ? 1 : Number.parseInt(parent, 10) + 1;
    const hash = createHash('md5')
      .update(`${String(this.#count++)} ${String(salt)}`)
      .digest('hex');
    const rev = `${String(generation)}-${hash}`;
    const from = parent === undefined ? [] : [parent];
    const exact = from.every((one) => this.facts.get(one)?.exact ?? true);
    this.#write(replica, rev, parent, { content, deleted, isEdit: true, from, exact });
    return rev;
  }

  /** What its gateway does next about the document. @returns undefined where it does nothing */
  step(at: number): Decision | undefined {
    const replica = this.replica(at);
    if (replica.merge === undefined) return undefined;
    const decision = this.decision(replica);
    if (decision.kind === 'tidy') {
      for (const tombstone of decision.tombstones) this.#bury(replica, tombstone);
      return decision;
    }
    if (decision.kind !== 'merge') return undefined;
    return this.#merge(replica, decision.conflict, replica.merge) ? decision : undefined;
  }

  decision(replica: Replica): Decision {
    const { tree, bodies } = replica;
    return decide({ id: 'doc', tree, content: (rev) => bodies.get(rev) }, this.options);
  }

  #merge(replica: Replica, conflict: ConflictText, merge: Merge): boolean {
    const { resolution, exact: isExact } = merge(conflict);
    if (resolution.kind === 'defer') return false;
    const leaves = conflict.leaves.map(({ rev }) => rev);
    const exact = isExact && leaves.every((leaf) => this.facts.get(leaf)?.exact === true);
    const { merged, tombstones } = resolved(conflict.leaves, resolution);
    const { rev, parent, deleted, body, attachments } = merged;
    replica.journal.push({ merged: rev, leaves });
    const content = { body, attachments };
    this.#write(replica, rev, parent, { content, deleted, isEdit: false, from: leaves, exact });
    for (const tombstone of tombstones) this.#bury(replica, tombstone);
    return true;
  }

  #bury(replica: Replica, { rev, leaf, into }: Tombstone): void {
    if (rev === tombstoneRev('equal', leaf, into))
      this.equals.set(into, [...(this.equals.get(into) ?? []), leaf]);
    this.#write(replica, rev, leaf, {
      content: EMPTY,
      deleted: true,
      isEdit: false,
      from: [leaf],
      exact: true,
    });
  }

  /** Puts back the leaves of the merge that a replica made last, where its merged revision is a leaf. */
  undo(at: number): void {
    const replica = this.replica(at);
    const last = replica.journal.at(-1);
    if (last === undefined || !liveOf(replica).includes(last.merged)) return;
    for (const [place, leaf] of last.leaves.entries()) {
      const below = place === 0 ? last.merged : tombstoneRev('input', leaf, last.merged);
      const rev = undoneRev(Number.parseInt(below, 10) + 1, leaf, last.merged);
      const { content, exact } = this.facts.get(leaf) ?? { content: EMPTY, exact: false };
      this.#write(replica, rev, below, { content, deleted: false, isEdit: true, from: [leaf], exact });
    }
  }

  /** Leaves go from one replica to another: all, or one. */
  deliver(from: number, to: number, only?: number): void {
    const source = this.replica(from);
    const target = this.replica(to);
    const leaves = leavesOf(source.tree).map(revAt);
    const chosen = only === undefined ? leaves : leaves.slice(only % leaves.length).slice(0, 1);
    for (const leaf of chosen) this.#receive(source, target, leaf);
  }

  #receive(source: Replica, target: Replica, leaf: string): void {
    const path = (pathTo(source.tree, leaf) ?? []).toReversed();
    const known = find(target.tree, leaf);
    const [first] = path;
    if (first === undefined || known !== undefined) return;
    const deleted = first.node[1].deleted === true;
    const hashes = path.map(({ node }) => node[0]);
    target.tree = insert(target.tree, first.generation, hashes, deleted, target.limit).tree;
    const content = this.facts.get(leaf)?.content;
    if (content !== undefined) target.bodies.set(leaf, content);
  }

  /** Bodies of revisions that are no leaves go. */
  compact(at: number): void {
    const { tree, bodies } = this.replica(at);
    const leaves = new Set(leavesOf(tree).map(revAt));
    for (const rev of bodies.keys()) if (!leaves.has(rev)) bodies.delete(rev);
  }

  /** Everything comes everywhere, and gateways do what they can, until nothing is written. @returns whether it ended */
  settle(mostRounds: number): boolean {
    for (let round = 0; round < mostRounds; round++) {
      const before = this.writes;
      for (let at = 0; at < this.replicas.length; at++) {
        for (let to = 0; to < this.replicas.length; to++) if (to !== at) this.deliver(at, to);
      }
      for (let at = 0; at < this.replicas.length; at++) this.step(at);
      if (this.writes === before) return true;
    }
    return false;
  }

  get writes(): number {
    return this.replicas.reduce((sum, { writes }) => sum + writes, 0);
  }

  #write(replica: Replica, rev: string, parent: string | undefined, fact: Fact): void {
    if (!this.facts.has(rev)) this.facts.set(rev, fact);
    const path = parent === undefined ? [] : (pathTo(replica.tree, parent) ?? []).toReversed();
    const generation = Number.parseInt(rev, 10);
    const hashes = [rev.slice(rev.indexOf('-') + 1), ...path.map(({ node }) => node[0])];
    replica.tree = insert(replica.tree, generation, hashes, fact.deleted, replica.limit).tree;
    replica.bodies.set(rev, fact.content);
    replica.writes++;
  }

  /** The edits that really went into a revision, itself among them. */
  editsIn(rev: string): Set<string> {
    const all = new Set([rev]);
    for (const one of all) {
      for (const from of this.facts.get(one)?.from ?? []) all.add(from);
      for (const same of this.equals.get(one) ?? []) all.add(same);
    }
    return new Set([...all].filter((one) => this.facts.get(one)?.isEdit));
  }
}

export const liveOf = ({ tree }: Replica): string[] =>
  leavesOf(tree)
    .filter(({ node }) => node[1].deleted !== true)
    .map(revAt);

const EMPTY: Content = { body: '', attachments: new Map() };

/** A document whose members are counters. */
export type Counters = Readonly<Record<string, number>>;

export const contentOf = (
  counters: Counters,
  attachments: ReadonlyMap<string, AttachmentSummary> = new Map(),
): Content => ({
  body: JSON.stringify(Object.fromEntries(Object.entries(counters).filter(([, n]) => n !== 0))).slice(1, -1),
  attachments,
});

export const countersOf = ({ body }: Content): Counters => JSON.parse(`{${body}}`) as Counters;

export function sum(a: Counters, b: Counters, sign = 1): Counters {
  const result: Record<string, number> = { ...a };
  for (const [name, n] of Object.entries(b)) result[name] = (result[name] ?? 0) + sign * n;
  return result;
}

/** Adds up what leaves say beyond their bases; without a base all that is not there yet. */
export const addUp: Merge = ({ leaves }) => {
  const [first, ...others] = leaves;
  let counters = first === undefined ? {} : countersOf(first.content);
  let exact = true;
  for (const { content, base } of others) {
    exact &&= base !== undefined;
    if (base !== undefined) counters = sum(counters, sum(countersOf(content), countersOf(base.content), -1));
    else for (const [name, n] of Object.entries(countersOf(content))) counters = { [name]: n, ...counters };
  }
  const attachments = new Map(leaves.toReversed().flatMap(({ content }) => [...content.attachments]));
  return { resolution: { kind: 'merge', deleted: false, content: contentOf(counters, attachments) }, exact };
};

/** Without bases it defers: those that have them merge. */
export const addUpOrDefer: Merge = (conflict) =>
  conflict.leaves.every(({ base }, at) => at === 0 || base !== undefined)
    ? addUp(conflict)
    : { resolution: { kind: 'defer', reason: 'there is no base' }, exact: false };
