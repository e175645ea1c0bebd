import { z } from 'zod';
import { isPattern } from './fields.js';

/** The options of a merge function are not what it takes. */
export class MergeOptionsError extends Error {
  override readonly name = 'MergeOptionsError';
}

/** What becomes of a value that one leaf removed and another changed. */
const removed = z.enum(['clash', 'edit-wins', 'delete-wins']);

const list = z.strictObject({ list: z.strictObject({ key: z.string() }) });
const word = z.enum(['atomic', 'set', 'position', 'counter', 'max', 'min', 'winner', 'text']);
const byRemoval = z.enum(['edit-wins', 'delete-wins']);
const whole = z.strictObject({ as: z.union([word, list]).optional(), removed: removed.optional() });

const rule = z.union([word, byRemoval, list, whole]);

const pattern = z.string().refine(isPattern);
const fields = z.record(pattern, rule).default({});

const SCHEMAS = {
  'three-way': z.strictObject({ fields, removed: removed.default('clash') }),
  'last-write-wins': z.strictObject({ field: pattern.refine((text) => !text.includes('*')) }),
  union: z.strictObject({
    fields,
    removed: removed.default('edit-wins'),
    withoutBase: z.enum(['defer', 'add']).default('defer'),
  }),
  'keep-both': z.strictObject({}),
  text: z.strictObject({
    texts: z.array(pattern).min(1).default(['/**']),
    fields,
    removed: removed.default('clash'),
  }),
};

/** What may stand at each option, in words. */
const ALLOWED: Readonly<Record<string, string>> = {
  fields:
    'rules by JSON pointer or pattern, such as {"/tags": "set", "/lines": {"list": {"key": "id"}}}; a rule is atomic, set, position, counter, max, min, winner, text, edit-wins, delete-wins, {"list": {"key": NAME}} or {"as": one of these, "removed": "clash", "edit-wins" or "delete-wins"}',
  removed: 'clash, edit-wins or delete-wins',
  field: 'a JSON pointer such as /updatedAt',
  withoutBase: 'defer or add',
  texts: 'a list of JSON pointers or patterns such as /body',
};

export type BuiltInName = keyof typeof SCHEMAS;
export type BuiltInOptions<Name extends BuiltInName> = z.infer<(typeof SCHEMAS)[Name]>;
export type Removed = z.infer<typeof removed>;

/** A rule for a field in one form. */
export interface FieldRule {
  readonly as: z.infer<typeof word> | z.infer<typeof list> | undefined;
  readonly removed: Removed | undefined;
}

export const builtInNames = Object.keys(SCHEMAS) as readonly BuiltInName[];

/**
 * @param given as it stands in the configuration, without the name of the function
 * @throws MergeOptionsError with a line for each thing that is wrong
 */
export function parseOptions<Name extends BuiltInName>(name: Name, given: unknown): BuiltInOptions<Name> {
  const parsed = SCHEMAS[name].safeParse(given);
  if (parsed.success) return parsed.data as BuiltInOptions<Name>;
  throw new MergeOptionsError(parsed.error.issues.map((issue) => problem(name, issue)).join('\n'));
}

function problem(name: BuiltInName, { path, code, ...issue }: z.core.$ZodIssue): string {
  const [option] = path.map(String);
  if (option === undefined && code === 'unrecognized_keys' && 'keys' in issue) {
    const known = Object.keys(SCHEMAS[name].shape).join(', ') || 'none';
    return `${name} has no option ${issue.keys.join(', ')}; its options are: ${known}`;
  }
  if (option === undefined) return `the options of ${name} have to be an object`;
  const at = path.map(String).join(' ');
  return `${name} cannot take what is given as ${at}; allowed is ${ALLOWED[option] ?? 'another value'}`;
}

/** All rules of a function in one form. */
export function fieldRules(given: Readonly<Record<string, z.infer<typeof rule>>>): Record<string, FieldRule> {
  return Object.fromEntries(Object.entries(given).map(([field, one]) => [field, inOneForm(one)]));
}

function inOneForm(one: z.infer<typeof rule>): FieldRule {
  if (one === 'edit-wins' || one === 'delete-wins') return { as: undefined, removed: one };
  if (typeof one === 'string' || 'list' in one) return { as: one, removed: undefined };
  return { as: one.as, removed: one.removed };
}
