import { forbidden } from '../../errors.js';
import type { Resolved, ResolveOptions, ResolvingWrites } from '../../store/conflicts/types.js';
import { DatabaseView } from '../../store/database-view.js';
import type { Database } from '../../store/types/database.js';
import type { DocumentEdit, EditResult } from '../../store/types/edits.js';
import type { MirrorRule } from '../rules.js';
import { Selection } from './partial.js';
import { PartialView } from './partial-view.js';

/** A sequence of a server that names none but their number, such as pouchdb-server. */
const NUMBER = /^[0-9]+$/;

/** A mirror as its clients may use it: they may have sequences of the upstream, which mean nothing here. */
class MirrorView extends DatabaseView {
  override parseToken(token: string): number {
    return NUMBER.test(token) ? 0 : super.parseToken(token);
  }
}

/** A mirror that only the upstream changes. */
class PulledView extends MirrorView {
  constructor(
    inner: Database,
    private readonly reason: string,
  ) {
    super(inner);
  }

  override write(edits: readonly DocumentEdit[]): Promise<EditResult[]> {
    return Promise.resolve(edits.map(() => ({ ok: false, error: forbidden(this.reason) })));
  }

  override resolve(writes: ResolvingWrites, options?: ResolveOptions): Promise<Resolved> {
    const [edit] = writes.edits;
    if (edit === undefined) return this.inner.resolve(writes, options);
    return Promise.resolve({ kind: 'refused', edit, error: forbidden(this.reason) });
  }
}

/** Why clients may change nothing in a database; undefined where they may. */
export function refusalOf({ direction, match }: MirrorRule): string | undefined {
  if (direction !== 'pull') return undefined;
  return `This database is only read: the rule for ${match} has it pulled from the upstream.`;
}

/** A mirror as its rule lets clients use it. */
export function viewOf(db: Database, rule: MirrorRule): Database {
  const reason = refusalOf(rule);
  if (reason !== undefined) return new PulledView(db, reason);
  const selection = Selection.of(rule);
  return new MirrorView(selection === undefined ? db : new PartialView(db, selection));
}
