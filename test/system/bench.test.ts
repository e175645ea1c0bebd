import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { startGateway, startProcess, temporaryFolder } from '../support/server.js';

const WORKLOADS = 21;

interface Figures {
  readonly sync: number;
  readonly raw: Readonly<Record<string, number>>;
  /** The rounds of each server. */
  readonly measured: readonly { readonly figures: Readonly<Record<string, readonly unknown[]>> }[];
}

it('scripts/bench measures every workload on any server and prints a table', async () => {
  const gateway = await startGateway();
  const folder = await temporaryFolder();
  const json = path.join(folder, 'figures.json');
  try {
    const args = ['scripts/bench', gateway.adminUrl, '--documents', '200', '--rounds', '1', '--json', json];
    const bench = startProcess(process.execPath, args);
    expect(await bench.ended, bench.stderr).toBe(0);
    const rows = bench.stdout.split('\n').filter((line) => line.startsWith('| '));
    expect(rows).toHaveLength(WORKLOADS + 2);
    const [get = ''] = rows.filter((row) => row.includes('GET one document'));
    expect(get).toMatch(/\| [\d,]+ · [\d.]+ · -?\d+ \| [\d.]+ \| \d+ % \|/);
    expect(bench.stdout).toMatch(/One synced write takes [\d.]+ ms .* One PUT alone takes [\d.]+ ms/);
    const { sync, raw, measured } = JSON.parse(await readFile(json, 'utf8')) as Figures;
    expect([sync, raw.get, measured.length]).toEqual([expect.any(Number), expect.any(Number), WORKLOADS]);
    const round = expect.objectContaining({ cpu: expect.any(Number) as number }) as unknown;
    for (const { figures } of measured) expect(Object.values(figures)).toEqual([[round], [round]]);
  } finally {
    await gateway.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
