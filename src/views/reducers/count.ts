import type { Row } from '../tree/types.js';
import type { ViewReducer } from '../types.js';

/** `_count`: how many rows there are. */
export const count: ViewReducer = {
  reduce: (runs: readonly (readonly Row[])[]) => Promise.resolve(runs.map(({ length }) => String(length))),
  rereduce: (runs) => Promise.resolve(runs.map(sum)),
  show: (reduction) => reduction,
};

const sum = (parts: readonly string[]): string =>
  String(parts.reduce((total, part) => total + Number(part), 0));
