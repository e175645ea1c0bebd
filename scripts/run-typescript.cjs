// Runs a program of this clone that is TypeScript which nothing has compiled: soaks and benchmarks. Vite, which some
// tests use anyway, loads it.
'use strict';
const { prepare } = require('./setup.cjs');

/** Vite takes every file of the project for an ES module; those that are none are required. */
const commonJs = {
  name: 'commonjs',
  load(id) {
    if (!id.endsWith('.cjs')) return undefined;
    const names = Object.keys(require(id)).map((name) => `export const ${name} = found.${name};`);
    const head = `import { createRequire } from 'node:module';\nconst found = createRequire(import.meta.url)(${JSON.stringify(id)});`;
    return [head, ...names].join('\n');
  },
};

/**
 * Sets the clone up where needed, loads a file, and calls the `main` that it exports with the arguments of the command
 * line; the exit code is what that returns.
 * @param {string} entry absolute path of the file
 */
async function runTypeScript(entry) {
  // Where processes that it talked to were killed, Node waits for them at times when all is done, at full speed.
  process.once('beforeExit', () => process.exit());
  try {
    prepare();
    const { runnerImport } = await import('vite');
    const { module: program } = await runnerImport(entry, {
      configFile: false,
      logLevel: 'error',
      plugins: [commonJs],
    });
    process.exitCode = await program.main(process.argv.slice(2));
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  }
}

module.exports = { runTypeScript };
