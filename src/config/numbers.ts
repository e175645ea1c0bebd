import { z } from 'zod';

/** Numbers in the configuration, with their defaults. */

export const MiB = 1024 * 1024;

export const bytes = (value: number, min = 1): z.ZodDefault<z.ZodInt> => z.int().min(min).default(value);
export const count = (value: number): z.ZodDefault<z.ZodInt> => z.int().min(1).default(value);
export const milliseconds = (value: number): z.ZodDefault<z.ZodInt> =>
  z.int().min(1).max(2_147_483_647).default(value);
