import { idOf } from '../changes/rows.js';
import { BodyPages } from '../store/body-pages.js';
import { documentText } from '../store/document.js';
import type { ChangeRow, Database, DocumentRecord, StoredRevision } from '../store/types.js';
import type { Emitted, Mapper, ViewGroup } from './types.js';

/** Changes read at a time. */
const PAGE = 500;

/** So many pages are made ahead at most, and so many characters of what documents emit: what goes into trees at once. */
const PAGES_AHEAD = 8;
const SIZE_AHEAD = 8 * 1024 * 1024;

/** Documents with what they emit, and the sequence up to which nothing is left out with them. */
export interface MappedPage {
  readonly documents: ReadonlyMap<string, Emitted>;
  /** Characters of what they emit. */
  readonly size: number;
  readonly seq: number;
}

export interface MapSource {
  readonly db: Database;
  readonly group: ViewGroup;
  readonly mapper: Mapper;
}

/** What documents that changed emit, page by page; while some are worked on, the next are being mapped. */
export const mappedSince = (source: MapSource, since: number, until: number): AsyncGenerator<MappedPage> =>
  new Ahead(mappedInTurn(source, since, until)).pages();

async function* mappedInTurn(
  source: MapSource,
  since: number,
  until: number,
): AsyncGenerator<MappedPage, void> {
  for await (const rows of source.db.changes({ since, until, pageSize: PAGE })) {
    const seq = rows.at(-1)?.seq ?? since;
    const documents = await mapDocuments(source, idsOf(rows));
    yield { documents, size: sizeOfAll(documents), seq };
  }
}

function sizeOfAll(documents: ReadonlyMap<string, Emitted>): number {
  let size = 0;
  for (const views of documents.values()) {
    for (const rows of views) for (const text of rows) size += text.length;
  }
  return size;
}

const idsOf = (rows: readonly ChangeRow[]): readonly string[] => [...new Set(rows.map(idOf))];

/** Pages of a source, some of which are made while others are worked on: as many as there is room for, one at a time. */
class Ahead {
  readonly #waiting: Promise<IteratorResult<MappedPage, void>>[] = [];
  #isAsked = false;
  /** Characters of the pages that wait. */
  #size = 0;

  constructor(private readonly source: AsyncGenerator<MappedPage, void>) {}

  async *pages(): AsyncGenerator<MappedPage> {
    try {
      for (;;) {
        if (this.#waiting.length === 0) this.#ask();
        const step = await this.#waiting.shift();
        if (step === undefined || step.done === true) return;
        this.#size -= step.value.size;
        if (!this.#isAsked) this.#ask();
        yield step.value;
      }
    } finally {
      await this.source.return();
    }
  }

  #ask(): void {
    this.#isAsked = true;
    const next = this.source.next();
    this.#waiting.push(next);
    // Whoever waits for it hears of its failure.
    next.then(
      (step) => this.#answered(step),
      () => undefined,
    );
  }

  #answered({ done, value }: IteratorResult<MappedPage, void>): void {
    if (done === true) return;
    this.#isAsked = false;
    this.#size += value.size;
    if (this.#waiting.length < PAGES_AHEAD && this.#size < SIZE_AHEAD) this.#ask();
  }
}

/** What each document emits as it is now; nothing, where it is not there or is deleted. */
export async function mapDocuments(
  { db, group, mapper }: MapSource,
  ids: readonly string[],
): Promise<ReadonlyMap<string, Emitted>> {
  const emitted = new Map<string, Emitted>(ids.map((id) => [id, []]));
  const records = await db.getMany(ids);
  const living = records.filter((record) => record !== undefined && isMapped(record, group));
  const bodies = new BodyPages<StoredRevision>(db);
  for await (const page of bodies.pages(living as readonly DocumentRecord[], winnerOf)) {
    const found = page.flatMap(({ item, text }) =>
      text === undefined ? [] : [{ id: item.id, text: seenByMap(item, text, group) }],
    );
    const results = await mapper.map(found.map(({ text }) => text));
    for (const [at, { id }] of found.entries()) emitted.set(id, results[at] ?? []);
  }
  return emitted;
}

const isMapped = ({ id, deleted }: DocumentRecord, { includeDesign }: ViewGroup): boolean =>
  !deleted && (includeDesign || !id.startsWith('_design/'));

const winnerOf = (record: DocumentRecord): StoredRevision => ({ record, rev: record.winner });

/** A document as map functions see it: with the revisions it is in conflict with. */
function seenByMap(record: DocumentRecord, text: string, { localSeq }: ViewGroup): string {
  const others = record.leaves().filter(({ rev }) => rev !== record.winner);
  if (others.length === 0 && !localSeq) return text;
  const named = (deleted: boolean): string[] =>
    others.filter((leaf) => leaf.deleted === deleted).map(({ rev }) => rev);
  return documentText(text, {
    conflicts: named(false),
    deletedConflicts: named(true),
    localSeq: localSeq ? record.seq : undefined,
  });
}
