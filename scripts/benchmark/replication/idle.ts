import { setTimeout as sleep } from 'node:timers/promises';
import { processorMicroseconds } from '../processes.js';
import type { Server } from './server.js';

/** Milliseconds until first checkpoints are written and the garbage of the beginning is gone, and those that are measured. */
const SETTLING = 200_000;
const MEASURED = 60_000;
/** Databases that are made at once. */
const TOGETHER = 8;

/** A server and its process. */
export interface Process {
  readonly server: Server;
  readonly pid: number;
}

/**
 * Has one server replicate so many databases of another one for ever, without a change.
 * @returns per cent of one processor that each of the two takes
 */
export async function measureIdle(
  jobs: number,
  source: Process,
  target: Process,
): Promise<{ readonly source: number; readonly target: number }> {
  const names = Array.from({ length: jobs }, (_, at) => `idle${at}`);
  const queue = names.values();
  const make = async (): Promise<void> => {
    for (const name of queue) {
      for (const { server } of [source, target]) await server.done('PUT', name);
      await source.server.done('PUT', `${name}/document`, '{"n":1}');
      const job = { source: source.server.urlOf(name), target: name, continuous: true };
      await target.server.done('POST', '_replicate', JSON.stringify(job));
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, make));
  while ((await docsWritten(target.server)) < jobs) await sleep(500);
  await sleep(SETTLING);
  const before = await used(source, target);
  const start = performance.now();
  await sleep(MEASURED);
  const after = await used(source, target);
  const percent = (at: 0 | 1): number => (after[at] - before[at]) / (performance.now() - start) / 10;
  return { source: percent(0), target: percent(1) };
}

async function docsWritten(server: Server): Promise<number> {
  const tasks = (await server.get('_active_tasks')) as readonly { readonly docs_written?: number }[];
  return tasks.reduce((sum, { docs_written: written = 0 }) => sum + written, 0);
}

const used = async (source: Process, target: Process): Promise<readonly [number, number]> => [
  await processorMicroseconds(source.pid),
  await processorMicroseconds(target.pid),
];
