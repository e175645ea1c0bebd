import type { MissingRevisions } from '../peer.js';
import { type Place, readEntries } from './entries.js';
import type { DumpFile } from './file.js';
import { revisionKey } from './tail.js';

/** Of so many revisions the places are remembered: what was shown just now is asked for next. */
const MOST = 100_000;

/** What was looked for. */
export interface FoundPlaces {
  readonly found: readonly Place[];
  readonly missing: readonly { readonly id: string; readonly rev: string }[];
}

/** Knows where the revisions of a dump stand. */
export class Places {
  readonly #places = new Map<string, Place>();

  constructor(private readonly dump: DumpFile) {}

  note(id: string, rev: string, place: Place): void {
    this.#places.set(revisionKey(id, rev), place);
    if (this.#places.size <= MOST) return;
    const [oldest] = this.#places.keys();
    if (oldest !== undefined) this.#places.delete(oldest);
  }

  /** What is not remembered is looked for in the dump, which takes long and is seldom needed. */
  async find(wanted: readonly MissingRevisions[]): Promise<FoundPlaces> {
    const revisions = wanted.flatMap(({ id, missing }) => missing.map((rev) => ({ id, rev })));
    const isKnown = ({ id, rev }: { id: string; rev: string }): boolean =>
      this.#places.has(revisionKey(id, rev));
    const unknown = revisions.filter((one) => !isKnown(one));
    if (unknown.length > 0) await this.#search(new Set(unknown.map(({ id, rev }) => revisionKey(id, rev))));
    const found = revisions.flatMap(({ id, rev }) => this.#places.get(revisionKey(id, rev)) ?? []);
    return { found, missing: revisions.filter((one) => !isKnown(one)) };
  }

  async #search(keys: Set<string>): Promise<void> {
    for await (const entries of readEntries(this.dump.file, this.dump.start)) {
      for (const entry of entries) {
        if (entry.kind !== 'revision') continue;
        const { id, rev } = entry.document;
        if (keys.delete(revisionKey(id, rev))) this.note(id, rev, entry.place);
      }
      if (keys.size === 0) return;
    }
  }
}
