import { randomUUID } from 'node:crypto';
import type { ClassicLevel } from 'classic-level';
import { BLOCK, ChangeCounts } from './change-counts.js';
import { BASES_KEY } from './conflicts/base-entry.js';
import { JOURNAL_KEY } from './conflicts/journal-entry.js';
import { NO_TALLY, parseTally, type Tally } from './conflicts/tally.js';
import { type CopyPlace, vouchedRuns, writeMarker } from './copy.js';
import { Epochs, newEpochName, parseEpochs } from './epochs.js';
import { LargeBodies } from './large-bodies.js';
import * as layout from './layout.js';
import { pagesOf } from './pages.js';
import { rebuildIndex } from './rebuild.js';
import { Rulebook } from './rules.js';
import * as keys from './state.js';
import { readUnsent, UNSENT_KEY, type UnsentState } from './unsent-state.js';

/** What an open database keeps in memory; all of it stands on disk too. */
export interface Loaded {
  state: keys.State;
  readonly epochs: Epochs;
  readonly counts: ChangeCounts;
  readonly largeBodies: LargeBodies;
  copy: keys.CopyRecord;
  readonly settings: Settings;
  readonly rulebook: Rulebook;
  /** Undefined where no account is kept of what the upstream has not got. */
  unsent: UnsentState | undefined;
  journal: Tally;
  /** Bodies that are kept for merges. */
  bases: Tally;
}

/** What a database admin may set, and what its maker has. */
export interface Settings {
  revsLimit: number;
  purgedInfosLimit: number;
  isPartitioned: boolean;
}

/** A database that was not ours before. */
const NOTHING = { updateSeq: 0, purgeSeq: 0, droppedBytes: 0 };

/** Of a database that lost it, or something else: nobody can tell any more whether it is an older copy. */
const LOST: keys.CopyRecord = { run: '', instanceStartTime: '' };

/** Where the security object starts: server admins only. */
const DEFAULT_SECURITY = '{"members":{"roles":["_admin"]},"admins":{"roles":["_admin"]}}';
const DEFAULT_REVS_LIMIT = 1000;
const DEFAULT_PURGED_INFOS_LIMIT = 1000;

export interface OpeningContext {
  readonly name: string;
  /** Open, and nobody else's. */
  readonly level: ClassicLevel;
  /** Tells this copy from older ones. */
  readonly place: CopyPlace;
  /** The name of this run. */
  readonly run: string;
  readonly sync: boolean;
  /** Is called where the database is new, though its folder is that of one that was here before. */
  readonly lostAll: () => void;
}

/** Reads what an open database must know, and mends what a crash, PouchDB or somebody's backup left behind. */
export async function load(context: OpeningContext): Promise<Loaded> {
  const { level, sync } = context;
  const metaKeys = [
    keys.STATE,
    keys.EPOCHS,
    keys.COPY,
    keys.SECURITY,
    keys.REVS_LIMIT,
    keys.PURGED_INFOS_LIMIT,
    keys.PARTITIONED,
    keys.TORN,
    keys.JOURNAL,
    keys.BASES,
  ];
  const [[state, epochs, copy, security, revsLimit, purgedInfosLimit, partitioned, torn, ...tallies], pouch] =
    await Promise.all([level.getMany(metaKeys.map((key) => layout.meta.key(key))), readPouchMarks(level)]);
  const isTorn = torn !== undefined;
  const known = keys.parseState(state);
  const knownEpochs = epochs === undefined ? undefined : parseEpochs(epochs);
  const named = new Epochs(knownEpochs ?? [{ first: 0, name: newEpochName() }]);
  const updateSeq = await lastSequence(level, known, pouch);
  const isNew = copy === undefined && known === undefined;
  const former = isNew ? await formerSecurity(context) : undefined;
  let own = isNew
    ? await claim(context, named, former)
    : await recognise(
        context,
        named,
        (isTorn ? undefined : keys.parseCopy(copy)) ?? LOST,
        known?.updateSeq ?? 0,
      );
  let counted = known;
  if (
    isTorn ||
    counted === undefined ||
    knownEpochs === undefined ||
    !keys.countsSizes(state) ||
    !keys.countsConflicts(state) ||
    tallies.some((text) => text !== undefined && parseTally(text) === undefined) ||
    isStale(counted, updateSeq, pouch)
  ) {
    if (known !== undefined && updateSeq > known.updateSeq)
      own = await takeOver(context, named, own, known.updateSeq);
    // Purges may have used sequences of which nothing is left: what names those must not name others.
    if (known === undefined && knownEpochs !== undefined) named.begin(updateSeq + 1);
    counted = await rebuildIndex(level, named, updateSeq, known ?? NOTHING);
  }
  if (isTorn) await forgetTear(level, sync);
  const [counts, largeBodies, unsent, journal, bases, rulebook] = await Promise.all([
    readCounts(level),
    LargeBodies.load(level),
    level.get(UNSENT_KEY),
    level.get(JOURNAL_KEY),
    level.get(BASES_KEY),
    Rulebook.load(level, security ?? former ?? DEFAULT_SECURITY),
  ]);
  return {
    state: counted,
    epochs: named,
    counts,
    largeBodies,
    copy: own,
    settings: {
      revsLimit: revsLimit === undefined ? DEFAULT_REVS_LIMIT : Number(revsLimit),
      purgedInfosLimit:
        purgedInfosLimit === undefined ? DEFAULT_PURGED_INFOS_LIMIT : Number(purgedInfosLimit),
      isPartitioned: partitioned !== undefined,
    },
    rulebook,
    unsent: readUnsent(unsent, counted),
    journal: parseTally(journal ?? '') ?? NO_TALLY,
    bases: parseTally(bases ?? '') ?? NO_TALLY,
  };
}

/** What tells whether PouchDB was here. */
interface PouchMarks {
  /** Where its last sequence stands, or the text that keeps it from reading the database. */
  readonly updateSeq: string | undefined;
  /** What it noted of its last compaction; empty where it made none. */
  readonly compaction: string;
  /** The same, when the counters were last made anew. */
  readonly knownCompaction: string;
}

export async function readPouchMarks(level: ClassicLevel): Promise<PouchMarks> {
  const [updateSeq, compaction = '', knownCompaction = ''] = await level.getMany([
    layout.pouchMeta.key(layout.POUCH_UPDATE_SEQ),
    layout.locals.key(layout.POUCH_COMPACTION),
    layout.meta.key(keys.POUCH_COMPACTION),
  ]);
  return { updateSeq, compaction, knownCompaction };
}

/** Whether indexes and counters are not those of what is stored. */
const isStale = (known: keys.State, updateSeq: number, pouch: PouchMarks): boolean =>
  pouch.updateSeq !== keys.pouchUpdateSeq(known) || updateSeq > known.updateSeq || wasCompacted(known, pouch);

/** Whether PouchDB wrote or compacted since we did. */
export async function wasPouchHere(level: ClassicLevel, known: keys.State): Promise<boolean> {
  const pouch = await readPouchMarks(level);
  return pouchSequence(pouch) > known.updateSeq || wasCompacted(known, pouch);
}

/**
 * Whether PouchDB compacted: what it drops then is counted, and it may leave something behind. Where it cannot read the
 * database it could not: a client wrote a local document of that name.
 */
const wasCompacted = ({ chunked }: keys.State, { compaction, knownCompaction }: PouchMarks): boolean =>
  chunked === 0 && compaction !== knownCompaction;

/** A database that was not ours before: new, or made by PouchDB. */
async function claim(
  { level, place, run, sync, lostAll }: OpeningContext,
  epochs: Epochs,
  security: string | undefined,
): Promise<keys.CopyRecord> {
  if ((await vouchedRuns(place)).length > 0) lostAll();
  const copy = { run, instanceStartTime: now() };
  await writeMarker(place, [run]);
  const batch = level.batch();
  batch.put(layout.meta.key(keys.COPY), JSON.stringify(copy));
  batch.put(layout.meta.key(keys.EPOCHS), JSON.stringify(epochs));
  if (security !== undefined) batch.put(layout.meta.key(keys.SECURITY), security);
  const uuid = layout.pouchMeta.key(layout.POUCH_UUID);
  if ((await level.get(uuid)) === undefined) batch.put(uuid, JSON.stringify(randomUUID()));
  await batch.write({ sync });
  return copy;
}

/**
 * The security object that pouchdb-server's plugin kept for a database, as text. What it says is judged when it is
 * used. CouchDB's own databases stay with server admins: there only some documents would be anybody's.
 */
async function formerSecurity({ name, level }: OpeningContext): Promise<string | undefined> {
  if (name.startsWith('_')) return undefined;
  const local = await level.get(layout.locals.key(layout.POUCH_SECURITY));
  return local === undefined ? undefined : securityIn(local);
}

/** The security object in pouchdb-server's local document; undefined where there is none. */
export function securityIn(local: string): string | undefined {
  const { security } = JSON.parse(local) as { security?: unknown };
  return security === undefined ? undefined : JSON.stringify(security);
}

/** An older copy that was put back gets a new identity, and loses the checkpoints that others trust. */
async function recognise(
  { level, place, run, sync }: OpeningContext,
  epochs: Epochs,
  copy: keys.CopyRecord,
  updateSeq: number,
): Promise<keys.CopyRecord> {
  const runs = await vouchedRuns(place);
  if (runs.includes(copy.run)) {
    // A crash came between the first write of a run and the marker that names this run alone.
    if (runs.length > 1) await writeMarker(place, [copy.run]);
    return copy;
  }
  epochs.begin(updateSeq + 1);
  const fresh = { run, instanceStartTime: now() };
  const batch = level.batch();
  const locals = level.iterator({ gte: layout.locals.start, lt: layout.locals.end });
  for await (const page of pagesOf(locals, 100)) {
    for (const [key, text] of page) if (isCheckpoint(text)) batch.del(key);
  }
  batch.put(layout.meta.key(keys.EPOCHS), JSON.stringify(epochs));
  batch.put(layout.meta.key(keys.COPY), JSON.stringify(fresh));
  await batch.write({ sync });
  await writeMarker(place, [run]);
  return fresh;
}

/**
 * Has a database in which something is missing that was written taken for an older copy, and everything in it made anew that
 * can be: whatever comes between, LevelDB says it only once.
 */
export const noteTear = (level: ClassicLevel, sync: boolean): Promise<void> =>
  level.put(layout.meta.key(keys.TORN), 'true', { sync });

async function forgetTear(level: ClassicLevel, sync: boolean): Promise<void> {
  // Steps of views may be missing, and rows of what is missing may be there.
  await level.clear({ gte: layout.indexes.start, lt: layout.indexes.end });
  await level.del(layout.meta.key(keys.TORN), { sync });
}

/** The last sequence that is in use, whatever became of the counters: it must not be given out again. */
export async function lastSequence(
  level: ClassicLevel,
  known: keys.State | undefined,
  pouch: PouchMarks,
): Promise<number> {
  const last = await Promise.all(
    [layout.bodies, layout.changes].map((sublevel) => layout.lastNumber(level, sublevel)),
  );
  return Math.max(known?.updateSeq ?? 0, ...last, pouchSequence(pouch));
}

/** What PouchDB takes for the last sequence; 0 where it is kept from reading the database. */
const pouchSequence = ({ updateSeq }: PouchMarks): number =>
  updateSeq !== undefined && /^[0-9]+$/.test(updateSeq) ? Number(updateSeq) : 0;

/** What PouchDB wrote since is an epoch of its own, and a run: a copy from before it is an older one. */
async function takeOver(
  { level, place, run, sync }: OpeningContext,
  epochs: Epochs,
  copy: keys.CopyRecord,
  updateSeq: number,
): Promise<keys.CopyRecord> {
  epochs.begin(updateSeq + 1);
  const own = { ...copy, run };
  await writeMarker(place, [copy.run, run]);
  const batch = level.batch();
  batch.put(layout.meta.key(keys.EPOCHS), JSON.stringify(epochs));
  batch.put(layout.meta.key(keys.COPY), JSON.stringify(own));
  await batch.write({ sync });
  await writeMarker(place, [run]);
  return own;
}

async function readCounts(level: ClassicLevel): Promise<ChangeCounts> {
  const counts = new ChangeCounts();
  const range = { gte: layout.changeCounts.start, lt: layout.changeCounts.end };
  for (const [key, count] of await level.iterator(range).all()) {
    counts.add(layout.parseSeqKey(layout.changeCounts.strip(key)) / BLOCK, Number(count));
  }
  return counts;
}

/** Microseconds since 1970. */
const now = (): string => String(Math.round((performance.timeOrigin + performance.now()) * 1000));

/** Whether a local document is a checkpoint of PouchDB's or CouchDB's replicator. */
function isCheckpoint(text: string): boolean {
  try {
    const local = JSON.parse(text) as { session_id?: unknown; history?: unknown; last_seq?: unknown };
    return local.session_id !== undefined && (local.history !== undefined || local.last_seq !== undefined);
  } catch {
    return false;
  }
}
