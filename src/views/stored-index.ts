import { quote } from '../json/quote.js';
import type { Work } from '../json/turns.js';
import type { IndexReader, IndexStore, IndexWriter } from '../store/indexes.js';
import type { NodeCache } from './node-cache.js';
import { type Inner, type Leaf, readNode } from './tree/node.js';
import type { NodeReader, NodeWriter, Root } from './tree/types.js';

/** The form of what is stored, and whose order of strings it is in: an index of another one is made anew. */
const { unicode = '', cldr = '' } = process.versions;
const FORMAT = `3 ${unicode} ${cldr}`;

/** How far an index is, and where its trees begin. */
export interface IndexState {
  /** Everything up to this sequence of the database is in it. */
  readonly seq: number;
  readonly purgeSeq: number;
  /** The highest number that a node has or had. */
  readonly lastNode: number;
  /** Of each view of the group. */
  readonly roots: readonly Root[];
}

/** Where a document's row of a view stands, so that it is found when the document changes. */
export interface OwnPlace {
  /** Which view of the group. */
  readonly view: number;
  readonly key: string;
  readonly nth: number;
}

/** The last key of an index, so that it goes first where a crash ends its removal: what is left is no index then. */
const stateKey = (signature: string): string => `${signature}/state`;
const nodeKey = (signature: string, node: number): string => `${signature}/n/${node.toString(36)}`;
const documentKey = (signature: string, id: string): string => `${signature}/d/${id}`;

/** The index of one signature at one moment. Must be closed. */
export class StoredIndex implements NodeReader {
  readonly #reader: IndexReader;

  /** @param cache where the nodes of paths are kept: not for whoever writes others in their place */
  constructor(
    store: IndexStore,
    readonly signature: string,
    private readonly cache?: NodeCache,
  ) {
    this.#reader = store.open();
  }

  /** Undefined where nothing is stored, or nothing that could be used. */
  async state(): Promise<IndexState | undefined> {
    const [text] = await this.#reader.read([stateKey(this.signature)]);
    if (text === undefined) return undefined;
    const { format, roots, ...state } = JSON.parse(text) as { format: string; roots: (Root | null)[] } & Omit<
      IndexState,
      'roots'
    >;
    return format === FORMAT ? { ...state, roots: roots.map((root) => root ?? undefined) } : undefined;
  }

  async read(nodes: readonly number[]): Promise<readonly (Leaf | Inner)[]> {
    const [node, ...more] = nodes;
    if (node === undefined) return [];
    // Whoever reads on and on would leave no room for the paths that others come by again and again.
    const key =
      more.length === 0 ? `${String(this.#reader.generation)}/${this.signature}/${String(node)}` : '';
    const kept = key === '' ? undefined : this.cache?.get(key);
    if (kept !== undefined) return [kept];
    const texts = await this.#reader.read(nodes.map((number) => nodeKey(this.signature, number)));
    const read = texts.map((text, at) => {
      if (text === undefined) throw new Error(`a view has lost its node ${String(nodes[at])}`);
      return readNode(text);
    });
    const [one] = read;
    if (key !== '' && one !== undefined) this.cache?.add(key, one);
    return read;
  }

  /** The places of the rows of documents, for `readPlaces`; undefined where there are none. */
  places(ids: readonly string[]): Promise<readonly (string | undefined)[]> {
    return this.#reader.read(ids.map((id) => documentKey(this.signature, id)));
  }

  close(): Promise<void> {
    return this.#reader.close();
  }
}

/** The places of a document's rows. */
export function* readPlaces(text: string | undefined): Work<readonly OwnPlace[]> {
  if (text === undefined) return [];
  const parts = JSON.parse(text) as (number | string)[];
  const places: OwnPlace[] = [];
  for (let at = 0; at < parts.length; at += 3) {
    const [view, nth, key] = parts.slice(at, at + 3);
    places.push({ view: Number(view), nth: Number(nth), key: String(key) });
    yield;
  }
  return places;
}

/** Places that are written in one go: a document may have millions. */
const TOGETHER = 1000;

function* placesText(places: readonly OwnPlace[]): Work<string> {
  let text = '';
  for (const [at, { view, nth, key }] of places.entries()) {
    text += `${at === 0 ? '' : ','}${String(view)},${String(nth)},${quote(key)}`;
    if (at % TOGETHER === TOGETHER - 1) yield;
  }
  return `[${text}]`;
}

/** What one step of an update writes, in one batch. Must be closed. */
export class IndexBatch implements NodeWriter {
  #lastNode: number;
  #size = 0;

  constructor(
    private readonly index: StoredIndex,
    private readonly writer: IndexWriter,
    lastNode: number,
  ) {
    this.#lastNode = lastNode;
  }

  /** Characters of what was put. */
  get size(): number {
    return this.#size;
  }

  next(): number {
    return ++this.#lastNode;
  }

  read(nodes: readonly number[]): Promise<readonly (Leaf | Inner)[]> {
    return this.index.read(nodes);
  }

  put(node: number, value: string): void {
    this.#put(nodeKey(this.index.signature, node), value);
  }

  delete(node: number): void {
    this.writer.delete(nodeKey(this.index.signature, node));
  }

  /** Where the rows of a document stand from now on. */
  *setPlaces(id: string, places: readonly OwnPlace[], had: boolean): Work<void> {
    const key = documentKey(this.index.signature, id);
    if (places.length > 0) this.#put(key, yield* placesText(places));
    else if (had) this.writer.delete(key);
  }

  /** Writes all of it. @returns the state that is stored with it */
  async write(seq: number, purgeSeq: number, roots: readonly Root[]): Promise<IndexState> {
    const state = { seq, purgeSeq, lastNode: this.#lastNode, roots };
    const value = JSON.stringify({ format: FORMAT, ...state, roots: roots.map((root) => root ?? null) });
    this.#put(stateKey(this.index.signature), value);
    await this.writer.write();
    return state;
  }

  close(): Promise<void> {
    return this.writer.close();
  }

  #put(key: string, value: string): void {
    this.#size += key.length + value.length;
    this.writer.put(key, value);
  }
}
