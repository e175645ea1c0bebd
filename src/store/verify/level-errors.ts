/** LevelDB's errors have codes that begin so. */
export const isLevelError = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && String(error.code).startsWith('LEVEL_');

/** LevelDB's own words stand below the library's; where the files were read does not matter. */
export function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return (cause instanceof Error ? cause.message : message).replaceAll(/[^\s:]*[\\/]/g, '');
}
