import { parentPort, workerData } from 'node:worker_threads';
import type { Order, Outcome, Report, ThreadData } from '../protocol.js';
import { Machine } from './machine.js';

/** A thread that runs functions; see thread.ts. */

/** Milliseconds after which it leaves the rest of an order, so that others have their turn. */
const SLICE_MS = 25;
/** A machine that took more memory than this is not kept. */
const KEPT_SIZE = 16 * 1024 * 1024;
const MAX_LINES = 100;
const MAX_LINE = 8192;

const { module, limits, progress } = workerData as ThreadData;

/** The least recently used first. */
const machines = new Map<number, Machine>();
let lines: string[] = [];

const log = (line: string): void => {
  if (lines.length < MAX_LINES) lines.push(line.length > MAX_LINE ? `${line.slice(0, MAX_LINE)}…` : line);
};

async function run({ machine: id, design = '', call, drop }: Order): Promise<Report> {
  const begin = performance.now();
  for (const unwanted of drop) machines.delete(unwanted);
  let machine = machines.get(id) ?? (await start(design));
  let shared = machine.share(call.shared);
  const outcomes: Outcome[] = [];
  for (const [index, item] of call.items.entries()) {
    Atomics.store(progress, 0, index);
    if (!machine.isUsable) {
      machine = await start(machine.design);
      shared = machine.share(call.shared);
    }
    outcomes.push(machine.call(call, item, shared));
    if (performance.now() - begin > SLICE_MS) break;
  }
  for (const handle of shared) handle.dispose();
  keep(id, machine);
  const report = { outcomes, machines: [...machines.keys()], log: lines };
  lines = [];
  return report;
}

const start = (design: string): Promise<Machine> => Machine.start(module, design, limits, log);

function keep(id: number, machine: Machine): void {
  machines.delete(id);
  if (machine.isUsable && machine.size <= KEPT_SIZE) machines.set(id, machine);
  for (const oldest of machines.keys()) if (machines.size > limits.maxKept) machines.delete(oldest);
}

parentPort?.on('message', (order: Order) => {
  void run(order).then((report) => parentPort?.postMessage(report));
});
