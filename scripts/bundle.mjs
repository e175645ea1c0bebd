// Puts the program of src/ into a few files, in the folder that is given: to open a file for each module, and those of some
// packages, took a third of the processor's time of a start.
import { fileURLToPath } from 'node:url';
import { build } from 'rolldown';

/** Packages of many small modules, in pure JavaScript; all others are loaded from node_modules. */
const INSIDE = /^(jose|yaml|zod)(\/|$)/;

await build({
  input: { main: fileURLToPath(new URL('../src/main.ts', import.meta.url)) },
  platform: 'node',
  resolve: { extensionAlias: { '.js': ['.ts', '.js'] } },
  external: (id) => /^[^./]/.test(id) && !INSIDE.test(id),
  output: {
    dir: process.argv[2],
    entryFileNames: '[name].mjs',
    // A process that starts while the program is built anew never gets files of both.
    chunkFileNames: '[name]-[hash].mjs',
    // Logs show classes of errors.
    keepNames: true,
    sourcemap: true,
  },
  logLevel: 'warn',
});
