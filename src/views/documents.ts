import { idOf } from '../changes/rows.js';
import { BodyPages } from '../store/body-pages.js';
import { documentText } from '../store/document.js';
import type { ChangeRow } from '../store/types/changes.js';
import type { Database } from '../store/types/database.js';
import type { DocumentRecord, StoredRevision } from '../store/types/records.js';
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
export async function* mappedSince(
  source: MapSource,
  since: number,
  until: number,
): AsyncGenerator<MappedPage> {
  const rows = source.db.changes({ since, until, pageSize: PAGE })[Symbol.asyncIterator]();
  const ahead = new Ahead(async () => {
    const step = await rows.next();
    return step.done === true ? undefined : () => mapPage(source, step.value);
  });
  try {
    yield* ahead.pages();
  } finally {
    await ahead.settled();
    await rows.return?.();
  }
}

async function mapPage(source: MapSource, rows: readonly ChangeRow[]): Promise<MappedPage> {
  const documents = await mapDocuments(source, idsOf(rows));
  return { documents, size: sizeOfAll(documents), seq: rows.at(-1)?.seq ?? 0 };
}

function sizeOfAll(documents: ReadonlyMap<string, Emitted>): number {
  let size = 0;
  for (const views of documents.values()) {
    for (const rows of views) for (const text of rows) size += text.length;
  }
  return size;
}

const idsOf = (rows: readonly ChangeRow[]): readonly string[] => [...new Set(rows.map(idOf))];

/**
 * So many pages are made at a time. The thread that maps would wait for the next one while the pages of the step before
 * are written: it takes several turns of the event loop to read one.
 */
const AT_ONCE = 3;

type Make = () => Promise<MappedPage>;

/** Pages in their order, some of which are made while others are worked on: as many as there is room for. */
class Ahead {
  readonly #waiting: Promise<MappedPage | undefined>[] = [];
  #making = 0;
  #isLast = false;
  /** Characters of the pages that wait. */
  #size = 0;
  #last: Promise<Make | undefined> = Promise.resolve(undefined);

  /** @param next what makes the next page; undefined at the end */
  constructor(private readonly next: () => Promise<Make | undefined>) {}

  async *pages(): AsyncGenerator<MappedPage> {
    for (;;) {
      this.#fill();
      const page = await this.#waiting.shift();
      if (page === undefined) return;
      this.#size -= page.size;
      this.#fill();
      yield page;
    }
  }

  /** Resolves once nothing is being made any more. */
  async settled(): Promise<void> {
    this.#isLast = true;
    await Promise.allSettled(this.#waiting);
  }

  #fill(): void {
    while (
      !this.#isLast &&
      this.#making < AT_ONCE &&
      this.#waiting.length < PAGES_AHEAD &&
      this.#size < SIZE_AHEAD
    )
      this.#ask();
  }

  #ask(): void {
    this.#making++;
    const make = this.#last.then(() => this.next());
    this.#last = make;
    const page = make.then((one) => this.#made(one));
    this.#waiting.push(page);
    page.then(
      () => this.#fill(),
      // Whoever waits for it hears of its failure.
      () => undefined,
    );
  }

  async #made(make: Make | undefined): Promise<MappedPage | undefined> {
    if (make === undefined) {
      this.#isLast = true;
      return undefined;
    }
    const page = await make();
    this.#making--;
    this.#size += page.size;
    return page;
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
