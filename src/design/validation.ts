import { CouchError } from '../errors.js';
import type { Resolved, ResolveOptions, ResolvingWrites } from '../store/conflicts/types.js';
import { DatabaseView } from '../store/database-view.js';
import type { Database } from '../store/types/database.js';
import type { DocumentEdit, EditResult, WriteOptions } from '../store/types/edits.js';
import type { Change, Judge, Rules } from '../store/types/rules.js';
import type { DesignFunctions, Sandbox } from './types.js';

/** Who writes: what CouchDB calls `userCtx`. */
interface Writer {
  readonly name: string | null;
  readonly roles: readonly string[];
}

/** A database to which one user writes: its `validate_doc_update` functions judge all that is written. */
export class ValidatedView extends DatabaseView {
  /** @param exempt a design document whose function is not asked, for its rule is kept here in another way */
  constructor(
    inner: Database,
    private readonly sandbox: Sandbox,
    private readonly writer: Writer,
    private readonly exempt?: string,
  ) {
    super(inner);
  }

  override write(edits: readonly DocumentEdit[], options: WriteOptions): Promise<EditResult[]> {
    const { inner, sandbox, writer, exempt } = this;
    return inner.write(edits, { ...options, judge: new Validation(inner, sandbox, writer, exempt) });
  }

  override resolve(writes: ResolvingWrites, options?: ResolveOptions): Promise<Resolved> {
    const { inner, sandbox, writer, exempt } = this;
    return inner.resolve(writes, { ...options, judge: new Validation(inner, sandbox, writer, exempt) });
  }
}

/** What one user may write, as the functions of a database say. */
class Validation implements Judge {
  readonly #userCtx: string;

  constructor(
    private readonly db: Database,
    private readonly sandbox: Sandbox,
    { name, roles }: Writer,
    private readonly exempt: string | undefined,
  ) {
    this.#userCtx = JSON.stringify({ db: db.name, name, roles });
  }

  /** All must agree; the first that does not is the one that is named. */
  async judge(
    { validators, security }: Rules,
    changes: readonly Change[],
  ): Promise<readonly (CouchError | undefined)[]> {
    const verdicts = new Array<CouchError | undefined>(changes.length).fill(undefined);
    let good = [...changes.keys()];
    for (const id of validators) {
      if (id === this.exempt || good.length === 0) continue;
      const asked = good.flatMap((at) => changes[at] ?? []);
      const errors = await this.#ask(id, asked, security);
      for (const [index, at] of good.entries()) verdicts[at] = errors[index];
      good = good.filter((at) => verdicts[at] === undefined);
    }
    return verdicts;
  }

  /** What cannot be asked refuses everything. */
  async #ask(
    id: string,
    changes: readonly Change[],
    security: string,
  ): Promise<readonly (CouchError | undefined)[]> {
    try {
      const functions = this.#functions(id);
      return functions === undefined ? [] : await functions.validate(changes, this.#userCtx, security);
    } catch (error) {
      if (error instanceof CouchError) return changes.map(() => error);
      throw error;
    }
  }

  /** Undefined where they are gone: the rules are not these any more when what is judged comes to be written. */
  #functions(id: string): DesignFunctions | undefined {
    try {
      return this.sandbox.design(this.db, id);
    } catch (error) {
      if (error instanceof CouchError && error.status === 404) return undefined;
      throw error;
    }
  }
}
