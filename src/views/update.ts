import { Turns, type Work } from '../json/turns.js';
import type { Database } from '../store/types/database.js';
import { type Collation, collate, collateRaw } from '../store/collate.js';
import { mapDocuments, mappedSince, type MapSource } from './documents.js';
import { changesOf } from './mapped.js';
import { IndexBatch, type IndexState, readPlaces, StoredIndex } from './stored-index.js';
import type { PlaceOrder } from './tree/order.js';
import type { Change } from './tree/types.js';
import { changeTree } from './tree/update.js';
import type { Emitted, ViewDefinition, ViewGroup, ViewReducer } from './types.js';

/** Documents that go into the trees together: the more, the fewer nodes are written more than once. */
const FIRST_STEP = 500;
const MOST_STEP = 16_000;
/**
 * Characters that a step writes, about: memory has them until the end of the step. In a large index each row may have a
 * node of its own written anew.
 */
const WRITTEN = 16 * 1024 * 1024;
/** Characters of keys and values after which a step ends, however few documents it has. */
const STEP_SIZE = 8 * 1024 * 1024;

/** What an update works with. */
export interface IndexUpdate extends MapSource {
  /** Of each view of the group that has one. */
  readonly reducers: readonly (ViewReducer | undefined)[];
  /** Ends it, with what was written so far; it throws the reason. */
  readonly signal: AbortSignal;
  /** Told of each step once it is written. */
  readonly onStep: (state: IndexState) => void;
}

/** How the keys of a view stand. */
export const collationOf = ({ isRaw }: ViewDefinition): Collation => (isRaw ? collateRaw : collate);

/** How its rows stand. */
export const orderOf = (group: ViewGroup, view: ViewDefinition): PlaceOrder => ({
  collate: collationOf(view),
  isPartitioned: group.isPartitioned,
});

/**
 * Brings an index to where the database is when it begins, or beyond. It is written in steps, each of them whole, so that
 * it goes on where it was after whatever ends it.
 */
export async function updateIndex(update: IndexUpdate): Promise<void> {
  const { db, signal, onStep } = update;
  const until = db.updateSeq;
  const { purgeSeq } = db;
  let state = await begin(update, purgeSeq);
  let step = new Map<string, Emitted>();
  let most = FIRST_STEP;
  let size = 0;
  // From the very beginning on each document is met once, and none has rows yet.
  const isNew = state.seq === 0;
  const write = async (seq: number): Promise<void> => {
    const written = await writeStep(update, state, { documents: step, isNew }, seq, purgeSeq);
    ({ state } = written);
    most = nextStep(step.size, written.size);
    step = new Map();
    size = 0;
    onStep(state);
  };
  for await (const page of mappedSince(update, state.seq, until)) {
    for (const [id, emitted] of page.documents) step.set(id, emitted);
    size += page.size;
    if (step.size >= most || size >= STEP_SIZE) await write(page.seq);
    signal.throwIfAborted();
  }
  if (step.size > 0 || state.seq < until) await write(Math.max(state.seq, until));
}

/** How many documents go together where the next are like the last. */
const nextStep = (documents: number, written: number): number =>
  Math.min(MOST_STEP, 4 * documents, Math.floor((documents * WRITTEN) / written));

/** Where the index is, without what was purged since; at its very beginning where there is none to go on with. */
async function begin(update: IndexUpdate, purgeSeq: number): Promise<IndexState> {
  const { db, group } = update;
  const index = new StoredIndex(db.indexes, group.signature);
  const stored = await index.state().finally(() => index.close());
  const isUsable = stored !== undefined && stored.seq <= db.updateSeq && stored.purgeSeq <= purgeSeq;
  const purged = isUsable ? await purgedSince(db, purgeSeq - stored.purgeSeq) : undefined;
  if (stored === undefined || purged === undefined) {
    await db.indexes.remove(group.signature);
    return { seq: 0, purgeSeq, lastNode: 0, roots: group.views.map(() => undefined) };
  }
  if (purged.length === 0) return stored;
  const documents = await mapDocuments(update, purged);
  const { state } = await writeStep(update, stored, { documents, isNew: false }, stored.seq, purgeSeq);
  return state;
}

/** The documents of the last so many purges; undefined where some of these are not remembered any more. */
async function purgedSince(db: Database, count: number): Promise<readonly string[] | undefined> {
  if (count === 0) return [];
  let last: string[] = [];
  for await (const page of db.purges()) last = [...last, ...page.map(({ id }) => id)].slice(-count);
  return last.length === count ? [...new Set(last)] : undefined;
}

interface Step {
  readonly documents: ReadonlyMap<string, Emitted>;
  /** None of them has rows in the index. */
  readonly isNew: boolean;
}

/** Writes one step. @returns the state of the index behind it, and how many characters were written */
async function writeStep(
  { db, group, reducers }: IndexUpdate,
  { lastNode, roots: before }: IndexState,
  { documents, isNew }: Step,
  seq: number,
  purgeSeq: number,
): Promise<{ readonly state: IndexState; readonly size: number }> {
  const index = new StoredIndex(db.indexes, group.signature);
  const turns = new Turns();
  try {
    const batch = new IndexBatch(index, await db.indexes.batch(), lastNode);
    try {
      const places = isNew ? [] : await index.places([...documents.keys()]);
      const orders = group.views.map((view) => orderOf(group, view));
      const changes = await turns.run(changesOfAll(places, batch, documents, orders));
      const roots = [];
      for (const [at, view] of group.views.entries()) {
        const reducer = reducers[at];
        const rules = { ...orderOf(group, view), reducers: reducer === undefined ? [] : [reducer] };
        roots.push(await changeTree(before[at], changes[at] ?? [], batch, rules, turns));
      }
      const state = await batch.write(seq, purgeSeq, roots);
      return { state, size: batch.size };
    } finally {
      await batch.close();
    }
  } finally {
    await index.close();
  }
}

/**
 * What the documents of a step change in each view.
 * @param stored the places of their rows so far
 */
function* changesOfAll(
  stored: readonly (string | undefined)[],
  batch: IndexBatch,
  documents: ReadonlyMap<string, Emitted>,
  orders: readonly PlaceOrder[],
): Work<readonly (readonly Change[])[]> {
  const all: Change[][] = orders.map(() => []);
  let at = 0;
  for (const [id, emitted] of documents) {
    const before = yield* readPlaces(stored[at++]);
    const { places: now, changes } = yield* changesOf({ id, before, emitted }, orders);
    yield* batch.setPlaces(id, now, before.length > 0);
    for (const [view, own] of changes.entries()) for (const change of own) all[view]?.push(change);
    yield;
  }
  return all;
}
