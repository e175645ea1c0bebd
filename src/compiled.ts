/**
 * The folder of compiled files, `dist/lib/`, where threads and processes have their programs. Who asks stands in it, in the
 * bundled program beside it, or, in tests, in the sources.
 */
export const compiled = new URL(
  import.meta.url.endsWith('.ts') ? '../dist/lib/' : '../lib/',
  import.meta.url,
);
