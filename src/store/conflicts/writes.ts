import type { ClassicLevel } from 'classic-level';
import type { StoredDocument } from '../record.js';
import type { Touched } from '../record-writes.js';
import type { State } from '../state.js';
import { conflictingLeaves, conflictKey, conflictText, stateIn } from './rows.js';
import type { ConflictRow } from './types.js';

/** Puts and deletes of the commit that is being put together. */
interface Batch {
  put(key: string, value: string): void;
  del(key: string): void;
}

interface ConflictContext {
  readonly level: ClassicLevel;
  readonly state: State;
}

type Counts = Pick<State, 'conflicts' | 'notedConflicts'>;

/** What one commit does to the index of conflicts. */
export class ConflictWrites {
  /** Id → what is noted, and the sequence that the document must have. */
  readonly #notes = new Map<string, { readonly seq: number; readonly state: string | undefined }>();

  constructor(private readonly context: ConflictContext) {}

  /** Whether nothing is noted. */
  get empty(): boolean {
    return this.#notes.size === 0;
  }

  /** Notes something of a document that is loaded. @returns false where it has changed, or is in no conflict */
  note(
    record: StoredDocument | undefined,
    { id, seq }: Pick<ConflictRow, 'id' | 'seq'>,
    state: string | undefined,
  ): boolean {
    if (record?.seq !== seq || conflictingLeaves(record) === 0) return false;
    this.#notes.set(id, { seq, state });
    return true;
  }

  /** @param touched what the commit does to documents. @returns the counts once it is on disk */
  finish(touched: ReadonlyMap<string, Touched>, batch: Batch): Counts {
    let { conflicts, notedConflicts } = this.context.state;
    for (const { before, after } of touched.values()) {
      if (after === before) continue;
      const was = conflictingLeaves(before);
      const is = conflictingLeaves(after);
      if (was === 0 && is === 0) continue;
      const stays = was === is && before?.seq === after?.seq;
      if (stays) continue;
      if (before !== undefined && was > 0) {
        if (this.#isNoted(before.seq)) notedConflicts--;
        batch.del(conflictKey(before.seq));
        conflicts--;
      }
      if (after !== undefined && is > 0) {
        batch.put(conflictKey(after.seq), conflictText({ id: after.id, leaves: is }));
        conflicts++;
      }
    }
    for (const [id, { seq, state }] of this.#notes) {
      const record = touched.get(id)?.after;
      const leaves = conflictingLeaves(record);
      // Another task of the same commit changed it.
      if (record?.seq !== seq || leaves === 0) continue;
      notedConflicts += Number(state !== undefined) - Number(this.#isNoted(seq));
      batch.put(conflictKey(seq), conflictText({ id, leaves, ...(state !== undefined && { state }) }));
    }
    return { conflicts, notedConflicts };
  }

  /** Whether something is noted of the conflict at a sequence, on disk. */
  #isNoted(seq: number): boolean {
    if (this.context.state.notedConflicts === 0) return false;
    const text = this.context.level.getSync(conflictKey(seq));
    return text !== undefined && stateIn(text) !== undefined;
  }
}
