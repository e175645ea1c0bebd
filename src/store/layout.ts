import type { ClassicLevel } from 'classic-level';

/**
 * Where things stand in the LevelDB of one database. The first six sublevels are `pouchdb-adapter-leveldb`'s, key
 * for key; ours have names that it does not know and leaves alone.
 */

/** A part of the key space; keys are `\xff` + name + `\xff` + key, as `sublevel-pouchdb` writes them. */
export class Sublevel {
  readonly #prefix: string;
  /** Exclusive bound above every key of the sublevel: U+0100 follows `\xff` in UTF-8, whatever the keys hold. */
  readonly end: string;

  constructor(name: string) {
    this.#prefix = `\xff${name}\xff`;
    this.end = `\xff${name}\u0100`;
  }

  key(key: string): string {
    return this.#prefix + key;
  }

  /** The part of a full key that is the sublevel's own. */
  strip(fullKey: string): string {
    return fullKey.slice(this.#prefix.length);
  }

  /** Inclusive lower bound. */
  get start(): string {
    return this.#prefix;
  }
}

/** id → metadata of the document: its revision tree and where each body is. */
export const documents = new Sublevel('document-store');
/** Sequence → body of the revision that was written with it. */
export const bodies = new Sublevel('by-sequence');
export const locals = new Sublevel('local-store');
export const pouchMeta = new Sublevel('meta-store');
/** Digest of an attachment → which revisions have it, `{"refs":{"id@rev":true}}`. */
export const attachments = new Sublevel('attach-store');
/** Digest → bytes, unless there are none, or they are in chunks. */
export const binaries = new Sublevel('attach-binary-store');

/** Sequence → the row of the changes feed, for each document's last change. */
export const changes = new Sublevel('causeway-changes');
/** Block of sequences → how many rows of the changes index it holds. */
export const changeCounts = new Sublevel('causeway-change-counts');
/** Number of a purge → the document and the revisions that were to be purged, `{"id":…,"revs":[…]}`. */
export const purges = new Sublevel('causeway-purges');
/** Digest of a large attachment → the upload whose chunks are its bytes. */
export const chunked = new Sublevel('causeway-chunked');
/** Of attachments that very many revisions have: digest → their number, digest and `id@rev` → nothing. */
export const refs = new Sublevel('causeway-refs');
/** Upload and number of the chunk → bytes. */
export const chunks = new Sublevel('causeway-chunks');
/** Digest of an attachment → how many of the bodies that a compaction keeps name it. */
export const attachmentUses = new Sublevel('causeway-attachment-uses');
/** Uploads whose chunks belong to no attachment: under way, or to be removed. */
export const uploads = new Sublevel('causeway-uploads');
/** What indexes over the documents keep, each below a name of its own: `name/…`; see indexes.ts. */
export const indexes = new Sublevel('causeway-indexes');
/** Last sequence of one or more rows that the upstream has not got → since when they wait; see unsent-entries.ts. */
export const unsent = new Sublevel('causeway-unsent');
/** Sequence → the document in conflict whose last change it is, `{"id":…,"leaves":…}`, perhaps with a `state`. */
export const conflicts = new Sublevel('causeway-conflicts');
/** Number → an entry of the journal, `{"id":…,"time":…,"entry":…}`. */
export const journal = new Sublevel('causeway-journal');
/** Number of an entry and `/0` → the leaves of its document, as they were stored; `/1` and so on → more of large ones. */
export const journalLeaves = new Sublevel('causeway-journal-leaves');
/** Quoted id and number → nothing: which entries are about a document. */
export const journalIds = new Sublevel('causeway-journal-ids');
/** Number → bodies that are kept for merges since some time, `{"time":…,"bodies":[[seq,bytes],…]}`. */
export const bases = new Sublevel('causeway-bases');
/** First sequence of a block → which bodies of the block are kept for merges, a bit each, in hexadecimal digits. */
export const baseMarks = new Sublevel('causeway-base-marks');
/** What the store knows of the database beside its documents. */
export const meta = new Sublevel('causeway-meta');

/** Every part of the key space that a database uses. */
export const ALL: readonly Sublevel[] = [
  documents,
  bodies,
  locals,
  pouchMeta,
  attachments,
  binaries,
  changes,
  changeCounts,
  purges,
  chunked,
  refs,
  chunks,
  attachmentUses,
  uploads,
  indexes,
  unsent,
  conflicts,
  journal,
  journalLeaves,
  journalIds,
  bases,
  baseMarks,
  meta,
];

/** Keys in `pouchMeta`. */
export const POUCH_UPDATE_SEQ = '_local_last_update_seq';
export const POUCH_DOC_COUNT = '_local_doc_count';
export const POUCH_UUID = '_local_uuid';

/** Key in `locals`: PouchDB writes it whenever it compacts. */
export const POUCH_COMPACTION = '_local/compaction';

/** Key in `locals`: pouchdb-server keeps the security object in it. */
export const POUCH_SECURITY = '_local/_security';

/**
 * Sequences are keys of 16 digits, so that they sort as numbers. V8 would remember the texts that `String` makes of
 * them, thousands at a time, until they are old garbage: a long listing needs 25 MB less without.
 */
export const seqKey = (seq: number): string => {
  const digits = seq.toFixed(0);
  return ZEROS.slice(digits.length) + digits;
};

/** `padStart` takes four times as long, and every write makes such keys. */
const ZEROS = '0'.repeat(16);

export const parseSeqKey = (key: string): number => Number.parseInt(key, 10);

/** Key of one of very many revisions, `id@rev`, that have an attachment. Digests are of one length. */
export const refKey = (digest: string, ref: string): string => refs.key(`${digest}/${ref}`);

/** Exclusive bound above everything that is stored of a digest in `refs`. */
export const refsEnd = (digest: string): string => refs.key(`${digest}0`);

/** The highest number that is a key of a sublevel; 0 where there is none. */
export async function lastNumber(level: ClassicLevel, sublevel: Sublevel): Promise<number> {
  const gte = sublevel.key(seqKey(0));
  const lte = sublevel.key(seqKey(Number.MAX_SAFE_INTEGER));
  const [last] = await level.keys({ gte, lte, reverse: true, limit: 1 }).all();
  return last === undefined ? 0 : parseSeqKey(sublevel.strip(last));
}

/** Key of one chunk of an upload. */
export const chunkKey = (upload: string, index: number): string => chunks.key(`${upload}/${seqKey(index)}`);
