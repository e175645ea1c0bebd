import { notImplemented } from '../errors.js';
import type { Mapper, ViewGroup } from './types.js';

/** The map of Mango's indexes. */
export function fieldMapper(group: ViewGroup): Mapper {
  throw notImplemented(
    `The index ${group.id} is Mango's, which is not supported by this version of Causeway.`,
  );
}
