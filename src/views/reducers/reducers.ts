import type { ViewReducer } from '../types.js';
import { count } from './count.js';
import { custom, type ReduceFunction } from './custom.js';
import { distinct } from './distinct.js';
import { edge } from './edges.js';
import { rank } from './rank.js';
import { stats } from './stats.js';
import { sum } from './sum.js';

/**
 * The reducer of a view.
 * @param functionOf where functions of design documents run
 * @param limited `query_server_config/reduce_limit`: reductions that do not shrink are refused
 */
export function reducerOf(
  reduce: string,
  functionOf: (source: string) => ReduceFunction,
  limited: boolean,
): ViewReducer {
  return reduce.startsWith('_') ? builtIn(reduce, limited) : custom(functionOf(reduce), limited);
}

/** A built-in reducer by its name, of which only the beginning counts. */
function builtIn(name: string, limited: boolean): ViewReducer {
  const [, end, most = '1'] = /^_(top|bottom)_([0-9]+)$/.exec(name) ?? [];
  if (end !== undefined) return rank(Number(most), end === 'top' ? -1 : 1);
  if (name.startsWith('_sum')) return sum(limited);
  if (name.startsWith('_stats')) return stats;
  if (name.startsWith('_approx_count_distinct')) return distinct;
  if (name.startsWith('_first')) return edge(0);
  if (name.startsWith('_last')) return edge(-1);
  return count;
}
