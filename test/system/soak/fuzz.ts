import assert from 'node:assert/strict';
import path from 'node:path';
import { startProcess } from '../../support/server.js';
import type { SoakContext } from './context.js';

const RUNS = 20_000;

/** The fuzz test of the HTTP interface with 20,000 requests; the rounds are not looked at. */
export const fuzz = (context: SoakContext): Promise<boolean> =>
  longForm(context, 'test/http/fuzz.test.ts', 'FUZZ_RUNS');

/** The same for headers, cookies and bodies that claim to be somebody. */
export const authorization = (context: SoakContext): Promise<boolean> =>
  longForm(context, 'test/system/authorization.test.ts', 'AUTHORIZATION_RUNS');

/** Runs a test that takes the number of its runs from a variable. */
async function longForm(context: SoakContext, test: string, variable: string): Promise<boolean> {
  const root = path.resolve(import.meta.dirname, '../../..');
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
  const env = { [variable]: String(RUNS), TEST_SEED: String(context.options.seed), NO_COLOR: '1' };
  const timeout = '--testTimeout=500000';
  const run = startProcess(process.execPath, [vitest, 'run', timeout, test], { cwd: root, env });
  const how = await run.ended;
  assert.equal(how, 0, `${run.stdout}\n${run.stderr}`);
  await context.record({ requests: RUNS, seconds: context.seconds });
  return true;
}
