import { splitAttachments } from './attachments/members.js';
import type { StoredDocument } from './record.js';

/** Characters. */
const LIMIT = 4 * 1024 * 1024;

/** Texts that are read again and again, or what was made of them, of all databases of a process together. */
export class RecentTexts {
  /** Characters of the texts that were put since the shelves were last aged. */
  #length = 0;
  #inUse = new Set<{ age(): boolean }>();

  /** @param limit characters; up to twice as many are kept */
  constructor(private readonly limit = LIMIT) {}

  newShelf<K, V>(lengthOf: (value: V) => number): Shelf<K, V> {
    const shelf: Shelf<K, V> = new Shelf<K, V>(lengthOf, (length) => {
      this.#inUse.add(shelf);
      this.#length += length;
      if (this.#length > this.limit) this.#age();
    });
    return shelf;
  }

  /** What was not asked for since the last time goes. */
  #age(): void {
    const shelves = this.#inUse;
    this.#length = 0;
    this.#inUse = new Set();
    for (const shelf of shelves) if (shelf.age()) this.#inUse.add(shelf);
  }
}

/** A longer text is worth reading anew. */
const LONGEST = 16 * 1024;

/**
 * Some of the texts of one database, or what was made of them. Those that are asked for stay: they move from the old ones to
 * the new ones.
 */
export class Shelf<K, V> {
  #new = new Map<K, V>();
  #old = new Map<K, V>();

  constructor(
    private readonly lengthOf: (value: V) => number,
    private readonly onPut: (length: number) => void,
  ) {}

  get(key: K): V | undefined {
    const value = this.#new.get(key);
    if (value !== undefined || this.#old.size === 0) return value;
    const old = this.#old.get(key);
    if (old !== undefined) this.put(key, old);
    return old;
  }

  put(key: K, value: V): void {
    const length = this.lengthOf(value);
    if (length > LONGEST) return;
    this.#new.set(key, value);
    this.onPut(length);
  }

  delete(key: K): void {
    this.#new.delete(key);
    this.#old.delete(key);
  }

  clear(): void {
    this.#new = new Map();
    this.#old = new Map();
  }

  /** @returns whether anything is left */
  age(): boolean {
    this.#old = this.#new;
    this.#new = new Map();
    return this.#old.size > 0;
  }
}

type Text = string | undefined;

type Reader<K> = (unknown: K[]) => Promise<readonly Text[]>;

/** Sequences. What changed before is read by those who copy a whole database, each of them once. */
const NEWEST = 10_000;

/** A record with branches, as it stands on the disk: to parse it takes as long as to read it. */
export interface BranchedRecord {
  readonly record: StoredDocument;
  /** Of its text. */
  readonly bytes: number;
}

/** A parsed record takes as much memory as a text of so many times its length. */
const PARSED = 4;

/**
 * What was read just now of the newest documents of a database: a hundred clients that follow it ask for the same ones,
 * one after the other. A record is never older than the one on the disk; a body never changes.
 */
export class RecentDocuments {
  readonly #records: Shelf<string, string>;
  readonly #branched: Shelf<string, BranchedRecord>;
  readonly #bodies: Shelf<number, string>;
  /** Odd while documents are being written: what is read then may be out of date when it comes. */
  #turn = 0;
  /** Documents that are being written. */
  #writing: ReadonlySet<string> = new Set();

  /** @param updateSeq the newest sequence of the database */
  constructor(
    texts: RecentTexts,
    private readonly updateSeq: () => number,
  ) {
    this.#records = texts.newShelf(({ length }) => length);
    this.#branched = texts.newShelf(({ bytes }) => PARSED * bytes);
    this.#bodies = texts.newShelf(({ length }) => length);
  }

  /** @param read reads what is not here */
  records(ids: readonly string[], read: Reader<string>): Promise<Text[]> {
    const turn = this.#turn;
    const isCurrent = (): boolean => turn % 2 === 0 && turn === this.#turn;
    return readThrough(this.#records, ids, read, (_, text) => isCurrent() && this.#isNew(seqOf(text)));
  }

  /** A record that was parsed just now, exactly as it is on the disk. Of any document: few have branches. */
  branched(id: string): BranchedRecord | undefined {
    return this.#branched.get(id);
  }

  /** Keeps what was read without waiting. */
  putBranched(id: string, read: BranchedRecord): void {
    if (!this.#writing.has(id)) this.#branched.put(id, read);
  }

  /** The same of bodies, by their sequences. What is attached to one may go with it: such are read anew. */
  bodies(seqs: readonly number[], read: Reader<number>): Promise<Text[]> {
    const isKept = (seq: number, text: string): boolean =>
      this.#isNew(seq) && splitAttachments(text) === undefined;
    return readThrough(this.#bodies, seqs, read, isKept);
  }

  #isNew(seq: number): boolean {
    return seq > this.updateSeq() - NEWEST;
  }

  /** Documents are about to change on the disk. */
  beginWrite(ids: readonly string[]): void {
    this.#turn++;
    this.#writing = new Set(ids);
    for (const id of ids) {
      this.#records.delete(id);
      this.#branched.delete(id);
    }
  }

  /** They have. After a failure nobody can tell, and it is not called. */
  endWrite(): void {
    this.#turn++;
    this.#writing = new Set();
  }

  /** Forgets everything: what was purged is not kept in memory either. */
  clear(): void {
    this.#records.clear();
    this.#branched.clear();
    this.#bodies.clear();
  }
}

/** The sequence of a record, which ends with it; NaN where it does not. */
const seqOf = (record: string): number => Number.parseInt(record.slice(record.lastIndexOf(':') + 1), 10);

async function readThrough<K>(
  shelf: Shelf<K, string>,
  keys: readonly K[],
  read: Reader<K>,
  isKept: (key: K, text: string) => boolean,
): Promise<Text[]> {
  const found: Text[] = [];
  const unknown: K[] = [];
  for (const key of keys) {
    const text = shelf.get(key);
    if (text === undefined) unknown.push(key);
    found.push(text);
  }
  if (unknown.length === 0) return found;
  const texts = await read(unknown);
  let next = 0;
  for (const [at, key] of keys.entries()) {
    if (found[at] !== undefined) continue;
    const text = texts[next++];
    found[at] = text;
    if (text !== undefined && isKept(key, text)) shelf.put(key, text);
  }
  return found;
}
