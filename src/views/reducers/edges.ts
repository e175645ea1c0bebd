import type { ViewReducer } from '../types.js';

/** `_first` and `_last`: the value of the first or last row. Runs are in the order of the view. */
export function edge(at: 0 | -1): ViewReducer {
  return {
    reduce: (runs) => Promise.resolve(runs.map((rows) => rows.at(at)?.value ?? 'null')),
    rereduce: (runs) => Promise.resolve(runs.map((parts) => parts.at(at) ?? 'null')),
    show: (reduction) => reduction,
  };
}
