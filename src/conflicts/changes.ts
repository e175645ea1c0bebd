import { idOf } from '../changes/rows.js';
import { DatabaseView } from '../store/database-view.js';
import type { ChangeEvents, ChangeRow, ChangesRange } from '../store/types/changes.js';
import type { Database } from '../store/types/database.js';
import { livingLeaves } from './loaded.js';
import { type ListedConflict, listed, RESOLVED, type WhichRule } from './standing.js';

/**
 * A database whose changes are those of its conflicts, for feeds: documents that are in conflict, and behind a sequence also
 * those that are no more.
 */
export class ConflictChanges extends DatabaseView {
  /** Documents that revisions were purged of, as the last look found them. */
  #purged: { readonly purgeSeq: number; readonly ids: ReadonlySet<string> } = NO_PURGES;

  /** @param rule by which conflicts are resolved now; undefined where they are kept */
  constructor(
    inner: Database,
    private readonly rule: () => WhichRule | undefined,
  ) {
    super(inner);
  }

  /** What was written just now is other rows than these. */
  override get events(): ChangeEvents {
    const { events } = this.inner;
    return {
      subscribe: (listener) => events.subscribe(listener),
      get size() {
        return events.size;
      },
      recent: () => undefined,
      countRecent: () => undefined,
    };
  }

  override changes(range: ChangesRange): AsyncIterable<readonly ChangeRow[]> {
    // Nobody who begins there knows of a conflict that is resolved.
    return range.since === 0 ? this.#inConflict(range) : this.#since(range);
  }

  async *#inConflict({ since, until }: ChangesRange): AsyncGenerator<readonly ChangeRow[]> {
    const range = { since, ...(until !== undefined && { until }) };
    for await (const page of this.inner.conflicts.rows(range))
      yield rowsOf(await listed(this.inner, page, this.rule()));
  }

  async *#since(range: ChangesRange): AsyncGenerator<readonly ChangeRow[]> {
    for await (const page of this.inner.changes(range)) {
      const purged = await this.#purgedIds();
      // Others were in no conflict.
      const looked = page.filter(
        (row) => row.text.includes(SEVERAL) || (purged.size > 0 && purged.has(idOf(row))),
      );
      const shown = looked.length === 0 ? [] : await this.#shown(looked);
      // Also where that is none: whoever reads the feed may have to show that it is alive.
      yield rowsOf(shown);
    }
  }

  /** A purge may leave a single leaf of those that were in conflict. */
  async #purgedIds(): Promise<ReadonlySet<string>> {
    const { purgeSeq } = this.inner;
    if (purgeSeq === this.#purged.purgeSeq) return this.#purged.ids;
    const ids = new Set<string>();
    for await (const page of this.inner.purges()) for (const { id } of page) ids.add(id);
    this.#purged = { purgeSeq, ids };
    return ids;
  }

  async #shown(rows: readonly ChangeRow[]): Promise<ListedConflict[]> {
    const db = this.inner;
    const records = await db.getMany(rows.map(idOf));
    const now = records.map((record) => record && db.conflicts.get(record.id));
    const inConflict = await listed(
      db,
      now.filter((row) => row !== undefined),
      this.rule(),
    );
    const byId = new Map(inConflict.map((one) => [one.id, one]));
    return records.flatMap((record, at) => {
      // One that has changed meanwhile comes at its new place.
      if (record === undefined || record.seq !== rows[at]?.seq) return [];
      const { id, seq, winner } = record;
      const leaves = livingLeaves(record).length;
      return byId.get(id) ?? (leaves > 1 ? [] : [{ seq: db.token(seq), id, leaves, winner, ...RESOLVED }]);
    });
  }
}

/** Of a row whose document has several leaves, deleted ones too. Quotes within an id are escaped. */
const SEVERAL = '"},{"rev":"';

const NO_PURGES = { purgeSeq: 0, ids: new Set<string>() };

const rowsOf = (conflicts: readonly ListedConflict[]): ChangeRow[] =>
  conflicts.map((one) => ({ seq: Number.parseInt(one.seq, 10), id: one.id, text: JSON.stringify(one) }));
