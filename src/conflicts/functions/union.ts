import { type BuiltInOptions, fieldRules } from './options.js';
import { folding, type Merging, rulesOf } from './three-way.js';

/** See union.md. */
export function union({ fields, removed, withoutBase }: BuiltInOptions<'union'>): Merging {
  const addWithoutBase = withoutBase === 'add';
  return folding(rulesOf(fieldRules(fields), { removed, arrays: 'set', addWithoutBase }));
}
