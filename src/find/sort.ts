import { mangoError } from '../errors.js';
import { erlangPretty } from '../json/erlang.js';
import type { SortField } from './types.js';

/** The fields of an order, or of an index. @param value of JSON. @throws CouchError 400 */
export function parseSort(value: unknown): readonly SortField[] {
  if (!Array.isArray(value))
    throw mangoError('invalid_sort_json', `Sort must be an array of sort specs, not: ${erlangPretty(value)}`);
  const fields = value.map(sortField);
  if (new Set(fields.map(({ direction }) => direction)).size > 1) {
    const reason = 'Sorts currently only support a single direction for all fields.';
    throw mangoError('unsupported_mixed_sort', reason);
  }
  return fields;
}

function sortField(value: unknown): SortField {
  if (typeof value === 'string' && value !== '') return { field: value, direction: 'asc' };
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const [[field, direction] = [], ...more] = Object.entries(value) as [string, unknown][];
    if (field !== undefined && (direction === 'asc' || direction === 'desc') && more.length === 0)
      return { field, direction };
  }
  throw mangoError('invalid_sort_field', `Invalid sort field: ${erlangPretty(value)}`);
}
