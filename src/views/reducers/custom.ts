import { CouchError } from '../../errors.js';
import { quote } from '../../json/quote.js';
import type { Row } from '../tree/types.js';
import type { ViewReducer } from '../types.js';

/** A reduce function of a design document where it runs. Everything is JSON text; a run for which it throws is `null`. */
export interface ReduceFunction {
  /** The source as it stands in the design document. */
  readonly source: string;
  /** Of each run, with `rereduce` false. @throws CouchError where the function cannot run at all */
  reduce(runs: readonly (readonly Pick<Row, 'key' | 'id' | 'value'>[])[]): Promise<readonly string[]>;
  /** Of each run of what it gave before, with `rereduce` true. */
  rereduce(runs: readonly (readonly string[])[]): Promise<readonly string[]>;
}

/** Characters of a reduction that need not shrink; CouchDB's limit. */
const THRESHOLD = 5000;

/** The error of rows whose reduction became too large. */
export const REDUCE_OVERFLOW = 'reduce_overflow_error';

/** How a reduction begins that became too large; CouchDB keeps the same. */
const OVERFLOW = '{"reduce_overflow_error":';

/** A function of a design document. @param limited whether reductions that do not shrink are refused */
export function custom(run: ReduceFunction, limited: boolean): ViewReducer {
  const judge = (reduction: string, lineLength: () => number): string => {
    // The query server answers with a list of one.
    const output = reduction.length + 2;
    if (!limited || output <= THRESHOLD) return reduction;
    const input = lineLength() + JSON.stringify(run.source).length - 2 - run.source.length;
    return output * 2 > input ? tooLarge(input, output) : reduction;
  };
  return {
    reduce: async (runs) => {
      const reductions = await run.reduce(runs);
      return reductions.map((reduction, at) => judge(reduction, () => reduceLine(runs[at] ?? [])));
    },
    rereduce: async (runs) => {
      const sound = runs.filter((parts) => failureIn(parts) === undefined);
      const reductions = (await run.rereduce(sound))[Symbol.iterator]();
      return runs.map((parts) => {
        const failed = failureIn(parts);
        if (failed !== undefined) return failed;
        return judge(String(reductions.next().value), () => rereduceLine(parts));
      });
    },
    show: (reduction) => {
      if (!reduction.startsWith(OVERFLOW)) return reduction;
      const { reduce_overflow_error: reason } = JSON.parse(reduction) as { reduce_overflow_error: unknown };
      throw new CouchError(400, REDUCE_OVERFLOW, String(reason));
    },
  };
}

const failureIn = (parts: readonly string[]): string | undefined =>
  parts.find((part) => part.startsWith(OVERFLOW));

function tooLarge(input: number, output: number): string {
  const sizes = `input size: ${String(input)} output size: ${String(output)}`;
  return `${OVERFLOW}${quote(`Reduce output must shrink more rapidly: ${sizes}`)}}`;
}

// Characters of the lines in which CouchDB asks its query server, without the source of the function.

const reduceLine = (rows: readonly Pick<Row, 'key' | 'id' | 'value'>[]): number =>
  rows.reduce(
    (sum, { key, id, value }) => sum + key.length + quote(id).length + value.length + '[[,],],'.length,
    '["reduce",[""],[]]'.length - 1,
  );

const rereduceLine = (parts: readonly string[]): number =>
  parts.reduce((sum, part) => sum + part.length + 1, '["rereduce",[""],[]]'.length - 1);
