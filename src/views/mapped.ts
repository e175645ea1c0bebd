import { sorting } from '../json/sort.js';
import type { Work } from '../json/turns.js';
import { type Collation, collateRaw } from '../store/collate.js';
import type { OwnPlace } from './stored-index.js';
import { comparePlaces, parsed, type PlaceOrder } from './tree/order.js';
import type { Change } from './tree/types.js';
import type { Emitted } from './types.js';

/** A document's rows as they are to be from now on. */
export interface MappedDocument {
  readonly id: string;
  /** Where its rows stand so far. */
  readonly before: readonly OwnPlace[];
  readonly emitted: Emitted;
}

/** Where a document's rows stand from now on, and what that changes in each view. */
export interface DocumentChanges {
  readonly places: readonly OwnPlace[];
  /** By view. */
  readonly changes: readonly (readonly Change[])[];
}

/** A document may have very many rows. */
export function* changesOf(
  { id, before, emitted }: MappedDocument,
  orders: readonly PlaceOrder[],
): Work<DocumentChanges> {
  const places: OwnPlace[] = [];
  const changes: (readonly Change[])[] = [];
  for (const [view, order] of orders.entries()) {
    const rows = yield* rowsOf(id, emitted[view] ?? [], order);
    for (const { key, nth } of rows) places.push({ view, key, nth });
    const own = before.filter((place) => place.view === view);
    changes.push(own.length === 0 ? rows : (yield* gone(id, own, rows, order)).concat(rows));
  }
  return { places, changes };
}

class Emission {
  readonly parsed: unknown;
  #term: unknown;

  constructor(
    readonly key: string,
    readonly value: string,
  ) {
    this.parsed = JSON.parse(key) as unknown;
  }

  /** The value, parsed once it has to be compared, which most never have. */
  get term(): unknown {
    return (this.#term ??= JSON.parse(this.value) as unknown);
  }
}

/** Those with equal keys stand in the order of their values as Erlang's terms, which is CouchDB's. */
const compareEmissions = (collate: Collation, a: Emission, b: Emission): number =>
  collate(a.parsed, b.parsed) || (a.value === b.value ? 0 : collateRaw(a.term, b.term));

/** Rows of one document with equal keys are told apart by the order of their values. */
function* rowsOf(id: string, emitted: readonly string[], { collate }: PlaceOrder): Work<readonly Change[]> {
  const [key, value] = emitted;
  if (key === undefined || value === undefined) return [];
  if (emitted.length === 2) return [{ id, key, value, nth: 0 }];
  const emissions: Emission[] = [];
  for (let at = 0; at < emitted.length; at += 2) {
    const [text = 'null', row = 'null'] = emitted.slice(at, at + 2);
    emissions.push(new Emission(text, row));
    yield;
  }
  const rows: Change[] = [];
  let last: Emission | undefined;
  let nth = 0;
  for (const emission of yield* sorting(emissions, (a, b) => compareEmissions(collate, a, b))) {
    nth = last !== undefined && collate(last.parsed, emission.parsed) === 0 ? nth + 1 : 0;
    rows.push({ id, key: emission.key, value: emission.value, nth });
    last = emission;
    yield;
  }
  return rows;
}

/** What is to be taken out: the places where there will be no row any more. Both stand in the order of the view. */
function* gone(
  id: string,
  before: readonly OwnPlace[],
  rows: readonly Change[],
  order: PlaceOrder,
): Work<Change[]> {
  const changes: Change[] = [];
  let at = 0;
  for (const { key, nth } of before) {
    const place = parsed({ id, key, nth });
    const orderOf = (row: Change | undefined): number =>
      row === undefined ? 1 : comparePlaces(order, parsed(row), place);
    while (orderOf(rows[at]) < 0) {
      at++;
      yield;
    }
    if (orderOf(rows[at]) !== 0) changes.push({ id, key, nth, value: undefined });
    yield;
  }
  return changes;
}
