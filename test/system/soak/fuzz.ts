import assert from 'node:assert/strict';
import path from 'node:path';
import { startProcess } from '../../support/server.js';
import type { SoakContext } from './context.js';

const RUNS = 20_000;

/** The fuzz test of the HTTP interface with 20,000 requests; the rounds are not looked at. */
export async function fuzz(context: SoakContext): Promise<boolean> {
  const root = path.resolve(import.meta.dirname, '../../..');
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
  const env = { FUZZ_RUNS: String(RUNS), TEST_SEED: String(context.options.seed), NO_COLOR: '1' };
  const timeout = '--testTimeout=500000';
  const run = startProcess(process.execPath, [vitest, 'run', timeout, 'test/http/fuzz.test.ts'], {
    cwd: root,
    env,
  });
  const how = await run.ended;
  assert.equal(how, 0, `${run.stdout}\n${run.stderr}`);
  await context.record({ requests: RUNS, seconds: context.seconds });
  return true;
}
