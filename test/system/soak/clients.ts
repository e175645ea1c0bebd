import assert from 'node:assert/strict';
import { untilIdle } from '../support/memory.js';
import { PouchClients } from '../support/pouch-clients.js';
import { processorTicks } from '../support/proc.js';
import { Restartable } from '../support/restartable.js';
import { until } from '../support/wait.js';
import type { SoakContext } from './context.js';

const CLIENTS = 100;
/** So many processes share them, so that none is held up by too many others. */
const PROCESSES = 4;
const DOCUMENTS = 30;
const ROUNDS = 2;

/** 100 PouchDB clients that sync live with one database, each writing: every change reaches all of them. */
export async function clients(context: SoakContext): Promise<boolean> {
  const { from, to } = context.options.rounds ?? { from: 1, to: ROUNDS };
  for (let round = from; round <= to; round += 1) {
    await context.record({ round, ...(await meet()) });
    if (context.isSpent && round < to) {
      context.say(`go on with --rounds ${String(round + 1)}-${String(to)}`);
      return false;
    }
  }
  return true;
}

async function meet() {
  const gateway = await Restartable.start();
  const processes = Array.from({ length: PROCESSES }, () => new PouchClients());
  try {
    await gateway.couch.put('/db');
    const remote = { url: `${gateway.url}/db`, auth: gateway.auth };
    await Promise.all(processes.map((one, at) => one.start(remote, namesOf(at))));
    await untilIdle(gateway.pid);
    const ticks = await processorTicks(gateway.pid);
    const started = performance.now();
    await Promise.all(processes.map((one) => one.write(DOCUMENTS)));
    const written = CLIENTS * DOCUMENTS;
    const ceiling = 5 * 60_000;
    await until('every change is everywhere', () => haveAll(processes, written), { ceiling, step: 500 });
    const seconds = (performance.now() - started) / 1000;
    // Their checkpoints count, too.
    await untilIdle(gateway.pid);
    const microseconds = ((await processorTicks(gateway.pid)) - ticks) * 10_000;
    const leaves = (await Promise.all(processes.map((one) => one.leaves()))).flat();
    assert.equal(leaves.length, CLIENTS);
    assert.equal(new Set(leaves).size, 1, 'the clients do not have the same');
    const delivered = written * (CLIENTS - 1);
    return {
      clients: CLIENTS,
      written,
      delivered,
      seconds: Math.round(seconds * 10) / 10,
      microsecondsEach: Math.round((microseconds / delivered) * 10) / 10,
    };
  } finally {
    await Promise.all(processes.map((one) => one.stop()));
    await gateway.remove();
  }
}

const namesOf = (process: number): string[] =>
  Array.from({ length: CLIENTS / PROCESSES }, (_, n) => `client-${String(process)}-${String(n)}`);

async function haveAll(processes: readonly PouchClients[], count: number): Promise<boolean> {
  const fewest = await Promise.all(processes.map((one) => one.fewest()));
  return fewest.every((documents) => documents >= count);
}
