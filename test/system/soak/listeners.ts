import assert from 'node:assert/strict';
import { openListeners } from '../support/listeners.js';
import { settledMemory } from '../support/memory.js';
import { openSockets, processorTicks } from '../support/proc.js';
import { Restartable } from '../support/restartable.js';
import { until } from '../support/wait.js';
import type { SoakContext } from './context.js';

const COUNT = 10_000;
const ROUNDS = 5;

/** 10,000 idle feeds, woken by one write; then all clients vanish. */
export async function listeners(context: SoakContext): Promise<boolean> {
  await context.needHandles(COUNT + 500);
  const { from, to } = context.options.rounds ?? { from: 1, to: ROUNDS };
  const gateway = await Restartable.start();
  try {
    await gateway.couch.put('/db');
    const held: number[] = [];
    for (let round = from; round <= to; round += 1) {
      const figures = await wake(gateway, round);
      await context.record({ round, ...figures });
      held.push(figures.megabytesHeld);
    }
    // What the first rounds have let go of serves the later ones.
    const [, second = 0, ...later] = held;
    for (const megabytes of later) assert(megabytes < second * 1.1 + 10, 'later rounds need no more memory');
  } finally {
    await gateway.remove();
  }
  return true;
}

async function wake(gateway: Restartable, round: number) {
  const sockets = await openSockets(gateway.pid);
  const before = await settledMemory(gateway.pid);
  const paths = Array.from(
    { length: COUNT },
    (_, n) => `/db/_changes?feed=${n % 2 === 0 ? 'longpoll' : 'continuous'}&since=now&heartbeat=60000`,
  );
  const feeds = await openListeners(gateway, paths);
  const held = await settledMemory(gateway.pid);
  const ticks = await processorTicks(gateway.pid);
  const started = performance.now();
  await gateway.couch.put(`/db/wake-${String(round)}`, {});
  await until('all are woken', () => feeds.every((feed) => feed.text.includes(`"wake-${String(round)}"`)));
  const woken = performance.now() - started;
  const used = (await processorTicks(gateway.pid)) - ticks;
  await until('longpolls end', () => feeds.every((feed, n) => n % 2 === 1 || feed.complete));
  for (const feed of feeds) feed.vanish();
  await until('their sockets are closed', async () => (await openSockets(gateway.pid)) <= sockets + 1);
  const after = await settledMemory(gateway.pid);
  return {
    listeners: feeds.length,
    wokenMs: Math.round(woken),
    processorMs: used * 10,
    bytesEach: Math.round((held - before) / COUNT),
    megabytesBefore: Math.round(before / 1e6),
    megabytesHeld: Math.round(held / 1e6),
    megabytesAfter: Math.round(after / 1e6),
  };
}
