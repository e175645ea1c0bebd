import type { MergeFunctions, Sandbox } from '../../design/types.js';
import { CouchError } from '../../errors.js';
import type { Database } from '../../store/types/database.js';
import { type Cage, CageUnavailable, ForeignError } from './cage.js';

/**
 * The function of a design document as its winner has it now.
 * @returns opens a place to run it in; throws ForeignError where there is no such function
 */
export function designCages(
  sandbox: Sandbox,
  db: Database,
  { id, name }: { readonly id: string; readonly name: string },
): () => Cage {
  try {
    const open = sandbox.merges(db, id);
    return () => new DesignCage(open(), name);
  } catch (error) {
    return () => {
      throw failureOf(error, `${id} cannot be used`);
    };
  }
}

/** Runs the function in the sandbox. */
class DesignCage implements Cage {
  constructor(
    private readonly functions: MergeFunctions,
    private readonly name: string,
  ) {}

  async ask(conflict: string): Promise<string> {
    try {
      return await this.functions.merge(this.name, conflict);
    } catch (error) {
      throw failureOf(error);
    }
  }

  close(): void {
    this.functions.close();
  }
}

function failureOf(error: unknown, about?: string): unknown {
  if (!(error instanceof CouchError)) return error;
  const { status, error: kind, reason } = error;
  // The engine has no room for an error where its memory is used up.
  if (kind === 'unnamed_error' && reason === 'null')
    return new ForeignError('it threw null, or used up its memory', true, { cause: error });
  if (status === 503) return new CageUnavailable(reason, { cause: error });
  const text = `${about ?? kind}: ${reason}`;
  return new ForeignError(text, kind === 'os_process_error', { cause: error });
}
