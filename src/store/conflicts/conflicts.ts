import type { ClassicLevel } from 'classic-level';
import * as layout from '../layout.js';
import type { State } from '../state.js';
import { entriesOf } from '../view.js';
import type { WriteTask } from '../writer.js';
import { conflictKey, parseConflict } from './rows.js';
import type { ConflictRow, Conflicts, ConflictsRange } from './types.js';

/** What the index needs of its database. */
export interface ConflictsHost {
  readonly level: ClassicLevel;
  readonly state: () => State;
  /** Number of a document's last change; undefined where it is not there. */
  readonly seqOf: (id: string) => number | undefined;
  /** Resolves once it is committed. */
  readonly submit: (task: Pick<WriteTask, 'ids' | 'run'>) => Promise<void>;
}

/** Rows read at a time. */
const PAGE = 1000;

/** The documents of one database that are in conflict. */
export class LevelConflicts implements Conflicts {
  constructor(private readonly host: ConflictsHost) {}

  get count(): number {
    return this.host.state().conflicts;
  }

  get noted(): number {
    return this.host.state().notedConflicts;
  }

  get(id: string): ConflictRow | undefined {
    // Most databases have none.
    const seq = this.count === 0 ? undefined : this.host.seqOf(id);
    const text = seq === undefined ? undefined : this.host.level.getSync(conflictKey(seq));
    return seq === undefined || text === undefined ? undefined : parseConflict(seq, text);
  }

  async *rows({
    since,
    until = this.host.state().updateSeq,
    descending = false,
    limit = Infinity,
  }: ConflictsRange): AsyncGenerator<readonly ConflictRow[]> {
    let left = limit;
    if (this.count === 0 || left <= 0) return;
    const range = { gt: conflictKey(since), lte: conflictKey(until) };
    const options = { size: Math.min(PAGE, left), reverse: descending };
    for await (const page of entriesOf(this.host.level, range, options)) {
      const rows = page.slice(0, left).map(([key, text]) => parseConflict(seqOf(key), text));
      yield rows;
      left -= rows.length;
      if (left <= 0) return;
    }
  }

  async note(row: Pick<ConflictRow, 'id' | 'seq'>, state: string | undefined): Promise<boolean> {
    let isNoted = false;
    await this.host.submit({
      ids: [row.id],
      run: (transaction) => {
        isNoted = transaction.conflicts.note(transaction.record(row.id), row, state);
      },
    });
    return isNoted;
  }
}

const seqOf = (key: string): number => layout.parseSeqKey(layout.conflicts.strip(key));
