import { randomUUID } from 'node:crypto';
import type { ClassicLevel } from 'classic-level';
import { BLOCK, ChangeCounts } from './change-counts.js';
import { type CopyPlace, vouchedRuns, writeMarker } from './copy.js';
import { Epochs, newEpochName, type Epoch } from './epochs.js';
import { LargeBodies } from './large-bodies.js';
import * as layout from './layout.js';
import { listLocals } from './list.js';
import { rebuildIndex } from './rebuild.js';
import { countBytes } from './recount.js';
import * as keys from './state.js';
import { Validators } from './validators.js';

/** What an open database keeps in memory; all of it stands on disk too. */
export interface Loaded {
  state: keys.State;
  readonly epochs: Epochs;
  readonly counts: ChangeCounts;
  readonly largeBodies: LargeBodies;
  copy: keys.CopyRecord;
  readonly settings: Settings;
  readonly validators: Validators;
}

/** What a database admin may set. */
export interface Settings {
  /** The security object as JSON text. */
  security: string;
  revsLimit: number;
  purgedInfosLimit: number;
}

/** A database that was not ours before. */
const NOTHING = { updateSeq: 0, purgeSeq: 0, droppedBytes: 0 };

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
}

/** Reads what an open database must know, and mends what a crash, PouchDB or somebody's backup left behind. */
export async function load(context: OpeningContext): Promise<Loaded> {
  const [state, epochs, copy, security, revsLimit, purgedInfosLimit] = await context.level.getMany(
    [keys.STATE, keys.EPOCHS, keys.COPY, keys.SECURITY, keys.REVS_LIMIT, keys.PURGED_INFOS_LIMIT].map((key) =>
      layout.meta.key(key),
    ),
  );
  const known = state === undefined ? undefined : parseState(state);
  const named = new Epochs(
    epochs === undefined ? [{ first: 0, name: newEpochName() }] : (JSON.parse(epochs) as Epoch[]),
  );
  const updateSeq = await storedUpdateSeq(context.level, known);
  const former = copy === undefined ? await formerSecurity(context) : undefined;
  let own =
    copy === undefined
      ? await claim(context, named, former)
      : await recognise(context, named, JSON.parse(copy) as keys.CopyRecord, known?.updateSeq ?? 0);
  let counted = known;
  const wrote = known?.updateSeq !== updateSeq;
  if (counted === undefined || wrote || (await wasCompacted(context.level, counted))) {
    if (known !== undefined && wrote) own = await takeOver(context, named, own, known.updateSeq);
    counted = await rebuildIndex(context.level, named, updateSeq, known ?? NOTHING);
  } else if (!state?.includes('"activeBytes":')) {
    counted = await countSizes(context, counted);
  }
  return {
    state: counted,
    epochs: named,
    counts: await readCounts(context.level),
    largeBodies: await LargeBodies.load(context.level),
    copy: own,
    settings: {
      security: security ?? former ?? DEFAULT_SECURITY,
      revsLimit: revsLimit === undefined ? DEFAULT_REVS_LIMIT : Number(revsLimit),
      purgedInfosLimit:
        purgedInfosLimit === undefined ? DEFAULT_PURGED_INFOS_LIMIT : Number(purgedInfosLimit),
    },
    validators: await Validators.load(context.level),
  };
}

/** What is counted since there are attachments and purges. */
const LATER = {
  attachmentBytes: 0,
  metadataBytes: 0,
  activeBytes: 0,
  externalBytes: 0,
  droppedBytes: 0,
  chunked: 0,
  purgeSeq: 0,
};

const parseState = (text: string): keys.State => ({
  ...LATER,
  ...(JSON.parse(text) as Partial<keys.State> & Omit<keys.State, keyof typeof LATER>),
});

/** Counts the bytes of a database that was ours before they were counted so. */
async function countSizes({ level, sync }: OpeningContext, known: keys.State): Promise<keys.State> {
  const counted = { ...known, ...(await countBytes(level)) };
  await level.put(layout.meta.key(keys.STATE), JSON.stringify(counted), { sync });
  return counted;
}

/** Whether PouchDB compacted: what it drops then is counted, and it may leave something behind. */
async function wasCompacted(level: ClassicLevel, { chunked }: keys.State): Promise<boolean> {
  // Then it could not: a client wrote a local document of that name.
  if (chunked > 0) return false;
  const noted = await level.get(layout.meta.key(keys.POUCH_COMPACTION));
  return (noted ?? '') !== ((await level.get(layout.locals.key(layout.POUCH_COMPACTION))) ?? '');
}

/** A database that was not ours before: new, or made by PouchDB. */
async function claim(
  { level, place, run, sync }: OpeningContext,
  epochs: Epochs,
  security: string | undefined,
): Promise<keys.CopyRecord> {
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
  for await (const page of listLocals(level, {})) {
    for (const local of page) if (isCheckpoint(local.text)) batch.del(layout.locals.key(local.id));
  }
  batch.put(layout.meta.key(keys.EPOCHS), JSON.stringify(epochs));
  batch.put(layout.meta.key(keys.COPY), JSON.stringify(fresh));
  await batch.write({ sync });
  await writeMarker(place, [run]);
  return fresh;
}

/** What PouchDB takes for the last sequence: it may have written since we did. */
async function storedUpdateSeq(level: ClassicLevel, known: keys.State | undefined): Promise<number> {
  const stored = await level.get(layout.pouchMeta.key(layout.POUCH_UPDATE_SEQ));
  if (stored === undefined) return 0;
  // Where PouchDB was kept from reading it wrote nothing.
  return known !== undefined && known.chunked > 0 ? known.updateSeq : Number(stored);
}

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
  for await (const [key, count] of level.iterator({
    gte: layout.changeCounts.start,
    lt: layout.changeCounts.end,
  })) {
    counts.add(layout.parseSeqKey(layout.changeCounts.strip(key)) / BLOCK, Number(count));
  }
  return counts;
}

/** Microseconds since 1970. */
const now = (): string => String(Math.round((performance.timeOrigin + performance.now()) * 1000));

/** Whether a local document is a checkpoint of PouchDB's or CouchDB's replicator. */
function isCheckpoint(text: string): boolean {
  const local = JSON.parse(text) as { session_id?: unknown; history?: unknown; last_seq?: unknown };
  return local.session_id !== undefined && (local.history !== undefined || local.last_seq !== undefined);
}
