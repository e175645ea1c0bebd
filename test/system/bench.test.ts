import { expect, it } from 'vitest';
import { startGateway, startProcess } from '../support/server.js';

const WORKLOADS = 21;

it('scripts/bench measures every workload on any server and prints a table', async () => {
  const gateway = await startGateway();
  try {
    const args = ['scripts/bench', gateway.adminUrl, '--documents', '200', '--rounds', '1'];
    const bench = startProcess(process.execPath, args);
    expect(await bench.ended, bench.stderr).toBe(0);
    const rows = bench.stdout.split('\n').filter((line) => line.startsWith('| '));
    expect(rows).toHaveLength(WORKLOADS + 2);
    const [get = ''] = rows.filter((row) => row.includes('GET one document'));
    expect(get).toMatch(/\| [\d,]+ · [\d.]+ · -?\d+ \| [\d.]+ \| \d+ % \|/);
    expect(bench.stdout).toMatch(/One synced write takes [\d.]+ ms .* One PUT alone takes [\d.]+ ms/);
  } finally {
    await gateway.stop();
  }
});
