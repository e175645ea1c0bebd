import type { Work } from '../../json/turns.js';
import { decimalText, difference, parseDecimal, sum } from '../decimal.js';
import { type ArrayValue, type ObjectValue, stringOf, type Value, type Values } from '../value.js';
import { type Fields, type Path, pointer } from './fields.js';
import { mergeKeyed } from './keyed-lists.js';
import { mergeLines } from './lines.js';
import { compareMoments, momentOf } from './moments.js';
import type { FieldRule, Removed } from './options.js';

/** What stands somewhere; undefined where nothing does, which is not null. */
export type Slot = Value | undefined;
/** Nobody knows what stood there before. */
export const UNKNOWN = Symbol('unknown');
export type Base = Slot | typeof UNKNOWN;

export interface MergeRules {
  readonly fields: Fields<FieldRule>;
  /** Whether one of them makes a counter of something. */
  readonly haveCounters: boolean;
  /** For fields whose rule does not say it. */
  readonly removed: Removed;
  /** How arrays merge that no rule is given for. */
  readonly arrays: 'atomic' | 'set';
  /** Whether what one side lacks counts as added by the other where there is no base. */
  readonly addWithoutBase: boolean;
}

/** What lies deeper in a document is not taken apart. */
const DEEPEST = 100;

/** Rules that take objects as a whole. */
const WHOLE: ReadonlySet<FieldRule['as']> = new Set(['atomic', 'winner', 'counter', 'max', 'min']);

/** Work may be interrupted after so many members. */
const STRIDE = 512;

const CHANGED = 'two leaves changed it differently';
const REMOVED = 'one leaf removed it and another changed it';
const NO_BASE = 'leaves differ, and what it was before is not known';
const NO_KEYS = 'elements have no key, or the same';
const ORDER = 'two leaves moved elements differently';
const GAP = 'elements before one that was changed were removed';
const INEXACT = 'the sum has more digits than can be stored';

/**
 * Merges two sides, each of which comes from a base: `ours`, which may be merged already, and `theirs`. What cannot be
 * merged is noted, and stays as ours has it.
 */
export class Merger {
  /** Why something could not be merged, by its pointer. */
  readonly #clashes = new Map<string, string>();
  /** Sums that are not what can be stored; further ones may make up for it. */
  readonly #inexact = new Map<string, string>();
  #steps = 0;

  constructor(
    readonly values: Values,
    private readonly rules: MergeRules,
  ) {}

  /** Everything that could not be merged, and why, in the order of the pointers. */
  get clashes(): ReadonlyMap<string, string> {
    const all = [...this.#inexact, ...this.#clashes].sort(([a], [b]) => (a < b ? -1 : 1));
    return new Map(all);
  }

  *merge(base: Base, ours: Slot, theirs: Slot, path: Path): Work<Slot> {
    const settled = this.#settled(base, ours, theirs, hasText);
    if (settled !== UNKNOWN) return settled;
    const rule = this.rules.fields.at(path);
    const isClash = this.#clashes.size > 0 && this.#clashes.has(pointer(path));
    // Objects are not compared as a whole: that would be to look at each member once more.
    if (!isClash && ours?.kind === 'object' && theirs?.kind === 'object' && this.#areTakenApart(rule, path))
      return yield* this.members(base, ours, theirs, path);
    const known = this.#settled(base, ours, theirs, (a, b) => this.values.areSame(a, b));
    if (known !== UNKNOWN) return known;
    if (ours === undefined || theirs === undefined)
      return this.#removed(rule, base, ours ?? theirs, ours, path);
    return isClash ? ours : yield* this.#changed(rule?.as, base, ours, theirs, path);
  }

  /** What stands there where no more than one side did something; `UNKNOWN` where both did. */
  #settled(base: Base, ours: Slot, theirs: Slot, areSame: Same): Base {
    // Two who count the same do not do the same thing: what holds counters is looked into.
    const isDone = ours === undefined || !this.rules.haveCounters || isSame(base, ours, areSame);
    if (isDone && isSame(ours, theirs, areSame)) return ours;
    if (isSame(base, theirs, areSame)) return ours;
    return isSame(base, ours, areSame) ? theirs : UNKNOWN;
  }

  #areTakenApart(rule: FieldRule | undefined, path: Path): boolean {
    return !WHOLE.has(rule?.as) && path.length < DEEPEST;
  }

  /** Merges two objects member by member. What is no object in the base counts as an empty one. */
  *members(base: Base, ours: ObjectValue, theirs: ObjectValue, path: Path): Work<ObjectValue> {
    const merged = new Map<string, Value>();
    let isOurs = true;
    for (const name of namesOf(ours, theirs)) {
      if (++this.#steps % STRIDE === 0) yield;
      const mine = ours.members.get(name);
      const yours = theirs.members.get(name);
      const before =
        base === UNKNOWN ? UNKNOWN : base?.kind === 'object' ? base.members.get(name) : undefined;
      // Members of the server, such as those that the replicator writes, are the winner's.
      const isServers = path.length === 0 && name.startsWith('_');
      const settled = isServers ? mine : this.#settled(before, mine, yours, hasText);
      const value = settled === UNKNOWN ? yield* this.merge(before, mine, yours, [...path, name]) : settled;
      if (value !== undefined) merged.set(name, value);
      if (value !== mine) isOurs = false;
    }
    return isOurs ? ours : this.values.object(merged);
  }

  /** Notes what could not be merged. @returns what stands there meanwhile */
  clash(path: Path, why: string, ours: Slot): Slot {
    const at = pointer(path);
    this.#forget(at);
    this.#clashes.set(at, why);
    return ours;
  }

  *#changed(as: FieldRule['as'], base: Base, ours: Value, theirs: Value, path: Path): Work<Slot> {
    if (as === 'winner') return ours;
    if (as === 'counter') return this.#counter(base, ours, theirs, path);
    if (as === 'max' || as === 'min') return this.#extreme(as, base, ours, theirs, path);
    if (as === 'text' && ours.kind === 'string' && theirs.kind === 'string')
      return yield* this.#text(base, stringOf(ours), stringOf(theirs), ours, path);
    if (as !== 'atomic' && path.length < DEEPEST && ours.kind === 'array' && theirs.kind === 'array')
      return yield* this.#arrays(as, base, ours, theirs, path);
    return this.#different(base, ours, theirs, path);
  }

  /** Two values that nothing can be done about, unless they are equal after all. */
  #different(base: Base, ours: Value, theirs: Value, path: Path): Slot {
    if (this.values.areSame(ours, theirs)) return ours;
    return this.clash(path, base === UNKNOWN ? NO_BASE : CHANGED, ours);
  }

  /** @param present what the side has that did not remove it */
  #removed(rule: FieldRule | undefined, base: Base, present: Slot, ours: Slot, path: Path): Slot {
    if (rule?.as === 'winner') return ours;
    if (base === UNKNOWN) return this.rules.addWithoutBase ? present : this.clash(path, NO_BASE, ours);
    const removed = rule?.removed ?? this.rules.removed;
    if (removed === 'edit-wins') return present;
    if (removed === 'clash') return this.clash(path, REMOVED, ours);
    this.#forget(pointer(path));
    return undefined;
  }

  /** What was noted at a place and below it counts no more. */
  #forget(at: string): void {
    for (const noted of [this.#clashes, this.#inexact]) {
      for (const one of noted.keys()) if (one === at || one.startsWith(`${at}/`)) noted.delete(one);
    }
  }

  #counter(base: Base, ours: Value, theirs: Value, path: Path): Slot {
    const before = base === UNKNOWN ? undefined : base === undefined ? ZERO : numberOf(base);
    const mine = numberOf(ours);
    const yours = numberOf(theirs);
    if (before === undefined || mine === undefined || yours === undefined)
      return this.#different(base, ours, theirs, path);
    const total = sum(mine, difference(yours, before));
    const text = decimalText(total);
    const at = pointer(path);
    if (text === undefined) this.#inexact.set(at, INEXACT);
    else this.#inexact.delete(at);
    const value = this.values.scalar('number', text ?? `${String(total.digits)}e${total.exponent}`);
    return [ours, theirs].find((one) => this.values.areSame(one, value)) ?? value;
  }

  #extreme(as: 'max' | 'min', base: Base, ours: Value, theirs: Value, path: Path): Slot {
    const mine = momentOf(ours);
    const yours = momentOf(theirs);
    const order = mine && yours && compareMoments(mine, yours);
    if (order === undefined) return this.#different(base, ours, theirs, path);
    return (as === 'max' ? order < 0 : order > 0) ? theirs : ours;
  }

  *#text(base: Base, mine: string, yours: string, ours: Value, path: Path): Work<Slot> {
    if (mine === yours) return ours;
    if (base === UNKNOWN) return this.clash(path, NO_BASE, ours);
    const before = base?.kind === 'string' ? stringOf(base) : '';
    const merged = yield* mergeLines(before, mine, yours);
    return merged === undefined ? this.clash(path, CHANGED, ours) : this.values.string(merged);
  }

  *#arrays(as: FieldRule['as'], base: Base, ours: ArrayValue, theirs: ArrayValue, path: Path): Work<Slot> {
    const rule = as === undefined || as === 'text' ? this.rules.arrays : as;
    if (rule === 'set') return this.#sets(base, ours, theirs, path);
    if (rule === 'position') return yield* this.#positions(base, ours, theirs, path);
    if (typeof rule !== 'object') return this.#different(base, ours, theirs, path);
    const merged = yield* mergeKeyed(this, rule.list.key, base, ours, theirs, path);
    if (typeof merged === 'object') return merged;
    if (this.values.areSame(ours, theirs)) return ours;
    return this.clash(path, merged === 'keys' ? NO_KEYS : ORDER, ours);
  }

  #sets(base: Base, ours: ArrayValue, theirs: ArrayValue, path: Path): Slot {
    const mine = this.#membersOf(ours);
    const yours = this.#membersOf(theirs);
    if (base === UNKNOWN && !this.rules.addWithoutBase) {
      const areEqual = mine.size === yours.size && [...mine.keys()].every((one) => yours.has(one));
      return areEqual ? ours : this.clash(path, NO_BASE, ours);
    }
    const before = this.#membersOf(base === UNKNOWN ? undefined : base);
    const kept = [...mine].filter(([one]) => yours.has(one) || !before.has(one));
    const added = [...yours].filter(([one]) => !mine.has(one) && !before.has(one));
    return this.arrayOf(
      [...kept, ...added].map(([, value]) => value),
      ours,
    );
  }

  /** Each element of an array once, by what makes it equal to others. */
  #membersOf(array: Slot): ReadonlyMap<number, Value> {
    const members = new Map<number, Value>();
    for (const one of array?.kind === 'array' ? array.elements : []) {
      const identity = this.values.identityOf(one);
      if (!members.has(identity)) members.set(identity, one);
    }
    return members;
  }

  *#positions(base: Base, ours: ArrayValue, theirs: ArrayValue, path: Path): Work<Slot> {
    const before = base === UNKNOWN || base?.kind === 'array' ? base : undefined;
    const merged: Slot[] = [];
    for (let at = 0; at < Math.max(ours.elements.length, theirs.elements.length); at++) {
      if (++this.#steps % STRIDE === 0) yield;
      const was = before === UNKNOWN ? UNKNOWN : before?.elements[at];
      const place = [...path, String(at)];
      merged.push(yield* this.merge(was, ours.elements[at], theirs.elements[at], place));
    }
    const there = merged.filter((one) => one !== undefined);
    if (merged.slice(0, there.length).includes(undefined)) return this.clash(path, GAP, ours);
    return this.arrayOf(there, ours);
  }

  /** An array, which is ours where it has the same elements. */
  arrayOf(elements: readonly Value[], ours: ArrayValue): ArrayValue {
    const isOurs =
      elements.length === ours.elements.length && elements.every((one, at) => one === ours.elements[at]);
    return isOurs ? ours : this.values.array(elements);
  }
}

const ZERO = { digits: 0n, exponent: 0 };

const numberOf = (value: Value): ReturnType<typeof parseDecimal> =>
  value.kind === 'number' ? parseDecimal(value.text) : undefined;

/** The names of the members of both, those of the first before the others. */
function* namesOf({ members: first }: ObjectValue, { members: second }: ObjectValue): Generator<string> {
  for (const name of first.keys()) yield name;
  for (const name of second.keys()) if (!first.has(name)) yield name;
}

type Same = (a: Value, b: Value) => boolean;

const isSame = (a: Base, b: Slot, areSame: Same): boolean =>
  a === b || (typeof a === 'object' && b !== undefined && areSame(a, b));

const hasText: Same = (a, b) => a.text === b.text;
