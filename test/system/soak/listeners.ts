import assert from 'node:assert/strict';
import { Heap } from '../support/heap.js';
import { INSPECTABLE } from '../support/inspector.js';
import { openListeners } from '../support/listeners.js';
import { anonymousMemory, openSockets, processorTicks } from '../support/proc.js';
import { Restartable } from '../support/restartable.js';
import { until } from '../support/wait.js';
import type { SoakContext } from './context.js';

const COUNT = 10_000;
const ROUNDS = 5;

/** 10,000 idle feeds, woken by one write; then all clients vanish. */
export async function listeners(context: SoakContext): Promise<boolean> {
  await context.needHandles(COUNT + 500);
  const { from, to } = context.options.rounds ?? { from: 1, to: ROUNDS };
  const gateway = await Restartable.start({ env: INSPECTABLE });
  try {
    await gateway.couch.put('/db');
    const heap = await Heap.of(gateway.program);
    const left: number[] = [];
    for (let round = from; round <= to; round += 1) {
      const figures = await wake(gateway, heap, round);
      await context.record({ round, ...figures });
      left.push(figures.reachableAfter);
    }
    // Pools and caches fill, and code is compiled, in the first round.
    const [first = 0, ...later] = left;
    for (const bytes of later) assert(bytes - first < COUNT * 200, 'clients that left take memory');
  } finally {
    await gateway.remove();
  }
  return true;
}

async function wake(gateway: Restartable, heap: Heap, round: number) {
  const sockets = await openSockets(gateway.pid);
  const before = await heap.reachable();
  const memoryBefore = await anonymousMemory(gateway.pid);
  const paths = Array.from(
    { length: COUNT },
    (_, n) => `/db/_changes?feed=${n % 2 === 0 ? 'longpoll' : 'continuous'}&since=now&heartbeat=60000`,
  );
  const feeds = await openListeners(gateway, paths);
  const held = await heap.reachable();
  const memoryHeld = await anonymousMemory(gateway.pid);
  const ticks = await processorTicks(gateway.pid);
  const started = performance.now();
  await gateway.couch.put(`/db/wake-${String(round)}`, {});
  await until('all are woken', () => feeds.every((feed) => feed.text.includes(`"wake-${String(round)}"`)));
  const woken = performance.now() - started;
  const used = (await processorTicks(gateway.pid)) - ticks;
  await until('longpolls end', () => feeds.every((feed, n) => n % 2 === 1 || feed.complete));
  for (const feed of feeds) feed.vanish();
  await until('their sockets are closed', async () => (await openSockets(gateway.pid)) <= sockets + 1);
  const reachableAfter = await heap.reachable();
  return {
    listeners: feeds.length,
    wokenMs: Math.round(woken),
    processorMs: used * 10,
    reachableEach: Math.round((held - before) / COUNT),
    memoryEach: Math.round((memoryHeld - memoryBefore) / COUNT),
    reachableAfter,
  };
}
