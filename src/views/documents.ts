import { idOf } from '../changes/rows.js';
import { BodyPages } from '../store/body-pages.js';
import { documentText } from '../store/document.js';
import type { ChangeRow, Database, DocumentRecord, StoredRevision } from '../store/types.js';
import type { Emitted, Mapper, ViewGroup } from './types.js';

/** Changes read at a time. */
const PAGE = 500;

/** Documents with what they emit, and the sequence up to which nothing is left out with them. */
export interface MappedPage {
  readonly documents: ReadonlyMap<string, Emitted>;
  readonly seq: number;
}

export interface MapSource {
  readonly db: Database;
  readonly group: ViewGroup;
  readonly mapper: Mapper;
}

/** What documents that changed emit, page by page; while one is worked on, the next is being mapped. */
export async function* mappedSince(
  source: MapSource,
  since: number,
  until: number,
): AsyncGenerator<MappedPage> {
  yield* oneAhead(mappedInTurn(source, since, until));
}

async function* mappedInTurn(source: MapSource, since: number, until: number): AsyncGenerator<MappedPage> {
  for await (const rows of source.db.changes({ since, until, pageSize: PAGE })) {
    const seq = rows.at(-1)?.seq ?? since;
    yield { documents: await mapDocuments(source, idsOf(rows)), seq };
  }
}

const idsOf = (rows: readonly ChangeRow[]): readonly string[] => [...new Set(rows.map(idOf))];

async function* oneAhead<T>(source: AsyncGenerator<T>): AsyncGenerator<T> {
  try {
    let next = source.next();
    for (;;) {
      const step = await next;
      if (step.done === true) return;
      next = source.next();
      // Whoever waits for it hears of its failure.
      next.catch(() => undefined);
      yield step.value;
    }
  } finally {
    await source.return(undefined);
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
