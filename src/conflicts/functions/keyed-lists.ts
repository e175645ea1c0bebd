import type { Work } from '../../json/turns.js';
import { type ArrayValue, stringOf, type Value } from '../value.js';
import type { Path } from './fields.js';
import { type Base, type Merger, UNKNOWN } from './merger.js';

interface Keyed {
  readonly name: string;
  readonly element: Value;
}

/** Elements by the identity of their key, in their order. */
type Index = ReadonlyMap<number, Keyed>;

/**
 * Merges lists whose elements are objects that a member tells apart, wherever they stand.
 * @returns `keys` where elements lack that member or share what it says; `order` where both sides moved them differently
 */
export function* mergeKeyed(
  merger: Merger,
  key: string,
  base: Base,
  ours: ArrayValue,
  theirs: ArrayValue,
  path: Path,
): Work<ArrayValue | 'keys' | 'order'> {
  const isKnown = base !== UNKNOWN;
  const before = isKnown && base?.kind === 'array' ? indexOf(merger, base, key) : new Map<number, Keyed>();
  const mine = indexOf(merger, ours, key);
  const yours = indexOf(merger, theirs, key);
  if (before === undefined || mine === undefined || yours === undefined) return 'keys';
  const merged = new Map<number, Value>();
  for (const [id, { name }] of new Map([...mine, ...yours])) {
    const was = isKnown ? before.get(id)?.element : UNKNOWN;
    const value = yield* merger.merge(was, mine.get(id)?.element, yours.get(id)?.element, [...path, name]);
    if (value !== undefined) merged.set(id, value);
  }
  const order = orderOf(isKnown ? before : undefined, mine, yours);
  if (order === undefined) return 'order';
  const [lead, other] = order;
  const elements = inOrder(lead, other, merged).flatMap((id) => merged.get(id) ?? []);
  return merger.arrayOf(elements, ours);
}

function indexOf({ values }: Merger, { elements }: ArrayValue, key: string): Index | undefined {
  const index = new Map<number, Keyed>();
  for (const element of elements) {
    const value = element.kind === 'object' ? element.members.get(key) : undefined;
    if (value?.kind !== 'string' && value?.kind !== 'number') return undefined;
    const identity = values.identityOf(value);
    if (index.has(identity)) return undefined;
    index.set(identity, { name: value.kind === 'string' ? stringOf(value) : value.text, element });
  }
  return index;
}

/** The side whose order counts, and the other; undefined where both moved what all have, and differently. */
function orderOf(before: Index | undefined, mine: Index, yours: Index): [Index, Index] | undefined {
  const isCommon = (id: number): boolean =>
    mine.has(id) && yours.has(id) && (before === undefined || before.has(id));
  const sequence = (index: Index): string => [...index.keys()].filter(isCommon).join();
  const [ours, theirs] = [sequence(mine), sequence(yours)];
  if (ours === theirs) return [mine, yours];
  const was = before && sequence(before);
  if (theirs === was) return [mine, yours];
  return ours === was ? [yours, mine] : undefined;
}

/** What only the other side has stands behind what it stands behind there, and behind what the lead put there. */
function inOrder(lead: Index, other: Index, merged: ReadonlyMap<number, Value>): readonly number[] {
  const behind = new Map<number | undefined, number[]>();
  let last: number | undefined;
  for (const id of other.keys()) {
    if (!merged.has(id)) continue;
    if (lead.has(id)) last = id;
    else if (behind.get(last)?.push(id) === undefined) behind.set(last, [id]);
  }
  const order: number[] = [];
  let waiting = behind.get(undefined) ?? [];
  for (const id of lead.keys()) {
    if (!merged.has(id)) continue;
    if (other.has(id)) {
      order.push(...waiting);
      waiting = behind.get(id) ?? [];
    }
    order.push(id);
  }
  return [...order, ...waiting];
}
