import { defineConfig } from 'vitest/config';
import { FolderSeconds } from './test/support/folder-seconds.js';

const report = process.env.TEST_REPORT;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/seed.ts'],
    // A test waits for its condition; these are only the ceiling.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    // By default one core is left alone: of two, tests that mostly wait would use one.
    maxWorkers: '100%',
    reporters: ['default', new FolderSeconds(), ...(report ? ['json'] : [])],
    ...(report ? { outputFile: { json: report } } : {}),
  },
});
