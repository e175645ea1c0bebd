import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { defineConfig } from 'vitest/config';
import { FolderSeconds } from './test/support/folder-seconds.js';
import { LongestFirst } from './test/support/longest-first.js';

const report = process.env.TEST_REPORT;

/** Tests that put modules in the place of others, which only a process of their own is sure to load, or that look at its memory. */
const alone = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .map((name) => path.join('test', name))
  .filter(
    (name) =>
      name.endsWith('.test.ts') && /vi\.mock\(|process\.memoryUsage\(/.test(readFileSync(name, 'utf8')),
  );

export default defineConfig({
  test: {
    projects: [
      // The files that a process runs share its modules: loading them anew took a fifth of the processor’s time.
      {
        extends: true,
        test: { name: 'shared', include: ['test/**/*.test.ts'], exclude: alone, isolate: false },
      },
      { extends: true, test: { name: 'alone', include: alone } },
    ],
    globalSetup: ['test/support/built.ts', 'test/support/temporary.ts'],
    setupFiles: ['test/support/seed.ts'],
    // A test waits for its condition; these are only the ceiling.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    // One more than there are cores: many tests wait for what takes its time.
    maxWorkers: availableParallelism() + 1,
    sequence: { sequencer: LongestFirst },
    reporters: ['default', new FolderSeconds(), ...(report ? ['json'] : [])],
    ...(report ? { outputFile: { json: report } } : {}),
  },
});
