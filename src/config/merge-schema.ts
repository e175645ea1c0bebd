import { z } from 'zod';

/** Mango. */
const selector = z.record(z.string(), z.unknown());

/** A merge function that is built in, with its options, which it checks itself. */
const builtIn = z.looseObject({ function: z.string().min(1) });

const foreign = z.strictObject({
  /** Whether leaves with the same content are one to it; not where it adds up what each of them says. */
  equalIsSame: z.boolean().optional(),
});

/** The function that an ES module exports by default: its path, from the folder of the file that names it. */
const module = foreign.extend({ module: z.string().min(1) });

/** A function of `merges` in a design document of the database: `cart/merge` is `merges.merge` of `_design/cart`. */
const design = foreign.extend({ design: z.string().regex(/^[^/]+\/[^/]+$/) });

/** What may be named over HTTP as well: no path. */
export const namedFunction = z.union([builtIn, design]);

export type FunctionConfig = z.infer<typeof builtIn | typeof module | typeof design>;

const choice = z.union([
  builtIn.extend({ selector: selector.optional() }),
  module.extend({ selector: selector.optional() }),
  design.extend({ selector: selector.optional() }),
]);

/**
 * How documents in conflict are resolved: by the name of a function, by one with options, one of a module or of a design
 * document, or by the first choice that fits.
 */
export const mergeSchema = z.union([z.string().min(1), builtIn, module, design, z.array(choice).min(1)]);

export type MergeConfig = z.infer<typeof mergeSchema>;
export type MergeChoice = z.infer<typeof choice>;

/** With paths of modules that begin at a folder made absolute. @param value anything */
export function withModulesFrom(value: unknown, locate: (file: string) => string): unknown {
  if (Array.isArray(value)) return value.map((one: unknown) => withModulesFrom(one, locate));
  if (typeof value !== 'object' || value === null || !('module' in value)) return value;
  return typeof value.module === 'string' ? { ...value, module: locate(value.module) } : value;
}
