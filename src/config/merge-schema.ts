import { z } from 'zod';

/** A merge function with its options, which it checks itself. */
const withOptions = z.looseObject({ function: z.string().min(1) });

const choice = withOptions.extend({
  /** Mango. */
  selector: z.record(z.string(), z.unknown()).optional(),
});

/** How documents in conflict are resolved: by the name of a function, with options, or by the first choice that fits. */
export const mergeSchema = z.union([z.string().min(1), withOptions, z.array(choice).min(1)]);

export type MergeConfig = z.infer<typeof mergeSchema>;
