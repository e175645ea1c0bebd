import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { hashPassword } from '../../src/auth/password.js';
import { loadConfig } from '../../src/config/load.js';
import type { ConfigValues } from '../../src/config/schema.js';
import { createGateway } from '../../src/gateway.js';
import { limited, readPending, readSuites, replay, type Result, type Suite } from './suites.js';

/** Another server to be compared with CouchDB; what this version cannot do yet is no excuse for it. */
const elsewhere = process.env.CONFORMANCE_URL;

const suites = readSuites();
const pending = elsewhere === undefined ? readPending() : new Map<string, string>();

/** Scenarios that cannot pass may wait for what never comes: this long is enough to see that one does. */
const PATIENCE_MS = 20_000;
const CEILING_MS = 300_000;

const suiteAtOnce = limited(elsewhere === undefined ? 4 : 1);
const scenarioAtOnce = limited(12);

async function results(suite: Suite): Promise<ReadonlyMap<string, Result>> {
  const found = await (elsewhere === undefined ? onOwnServer(suite) : replay(elsewhere, suite));
  return new Map(found.map((result) => [result.scenario, result]));
}

/** Each suite has a server for itself: some scenarios change what others see. */
async function onOwnServer(suite: Suite): Promise<readonly Result[]> {
  const data = await mkdtemp(path.join(tmpdir(), 'causeway-test-'));
  const admins = { admin: await hashPassword('secret', 1) };
  const values: ConfigValues = { port: 0, data, admins, log: { level: 'silent' } };
  const gateway = await createGateway(loadConfig({ values }));
  try {
    const url = gateway.url.replace('://', '://admin:secret@');
    if (!suite.scenarios.every((name) => pending.has(`${suite.area}/${name}`)))
      return await replay(url, suite);
    const single = suite.scenarios.map((name) =>
      scenarioAtOnce(() => replay(url, suite, { only: `${suite.area} ${name}`, timeout: PATIENCE_MS })),
    );
    return (await Promise.all(single)).flat();
  } finally {
    await gateway.close();
    await rm(data, { recursive: true, force: true });
  }
}

const started = new Map<string, Promise<ReadonlyMap<string, Result>>>();

beforeAll(() => {
  for (const suite of suites) {
    const run = suiteAtOnce(() => results(suite));
    // Awaited, and its failure told, in the suite's own block.
    run.catch(() => undefined);
    started.set(suite.area, run);
  }
});

describe.each(suites)('recordings of $area', ({ area, scenarios }) => {
  let found: ReadonlyMap<string, Result> = new Map();
  beforeAll(async () => {
    found = (await started.get(area)) ?? found;
  }, CEILING_MS);

  test.each(scenarios)('%s', (name) => {
    const result = found.get(name);
    const reason = pending.get(`${area}/${name}`);
    if (reason === undefined) expect(result).toEqual({ area, scenario: name, ok: true, diffs: [] });
    else expect(result?.ok ?? false, `it holds: "${reason}" is no longer true in pending.json`).toBe(false);
  });
});

test('pending.json names only scenarios that there are', () => {
  const known = new Set(suites.flatMap(({ area, scenarios }) => scenarios.map((name) => `${area}/${name}`)));
  expect([...pending.keys()].filter((name) => !known.has(name))).toEqual([]);
});
