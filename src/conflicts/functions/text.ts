import { type BuiltInOptions, type FieldRule, fieldRules } from './options.js';
import { folding, type Merging, rulesOf } from './three-way.js';

/** See text.md. */
export function text({ texts, fields, removed }: BuiltInOptions<'text'>): Merging {
  const rules = fieldRules(fields);
  // What is said of fields counts before what is said of texts.
  const rest = texts.filter((pattern) => !Object.hasOwn(rules, pattern));
  const byLine: FieldRule = { as: 'text', removed: undefined };
  return folding(rulesOf({ ...rules, ...Object.fromEntries(rest.map((one) => [one, byLine])) }, { removed }));
}
