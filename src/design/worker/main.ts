import { readlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { failed, signs, type Order, type Outcome, type Report, type ThreadData } from '../protocol.js';
import { Dialogue } from './dialogue.js';
import { createTemplate } from './engine.js';
import { Portions } from './portions.js';
import { errorMessage, Machine, type MachineSurroundings, type Shared } from './machine.js';

/** A thread that runs functions; see thread.ts. */

/** Milliseconds after which it leaves the rest of an order, so that others have their turn. */
const SLICE_MS = 25;
/** A machine that took more memory than this is not kept. */
const KEPT_SIZE = 16 * 1024 * 1024;
/** What functions may log in one order. */
const MAX_LINES = 100;
const MAX_LINE = 8192;

const data = workerData as ThreadData;
Atomics.store(data.signs, signs.tid, threadNumber());

const dialogue = new Dialogue(data.signs);

const surroundings: Promise<MachineSurroundings> = createTemplate(data.module).then((template) => ({
  template,
  limits: data.limits,
  isStopped: () => Atomics.load(data.signs, signs.stop) !== 0,
  dialogue,
  log: (line) => {
    if (lines.length < MAX_LINES) lines.push(line.length > MAX_LINE ? `${line.slice(0, MAX_LINE)}…` : line);
  },
}));

/** The least recently used first. */
const machines = new Map<number, Machine>();
let lines: string[] = [];

/** Linux has threads that are numbered like processes. */
function threadNumber(): number {
  try {
    return Number(readlinkSync('/proc/thread-self').split('/').at(-1));
  } catch {
    return 0;
  }
}

async function run({ machine: id, design = '', call, drop }: Order): Promise<Report> {
  const begin = performance.now();
  for (const unwanted of drop) machines.delete(unwanted);
  let machine = machines.get(id);
  let shared: Shared | undefined;
  const outcomes: Outcome[] = [];
  const portions = new Portions(call);
  try {
    while (outcomes.length < call.items.length) {
      if (machine?.isUsable !== true) {
        // Merge functions have machines of their own.
        const isPure = call.kind === 'merges';
        machine = await Machine.start(machine?.design ?? design, await surroundings, isPure);
        shared = undefined;
      }
      Atomics.store(data.signs, signs.item, outcomes.length);
      shared ??= machine.share(call);
      const made = portions.run(machine, shared, outcomes.length);
      if (made === undefined) break;
      if (call.kind === 'lists') dialogue.end();
      outcomes.push(...made);
      if (performance.now() - begin > SLICE_MS) break;
    }
  } catch (error) {
    // There is no room for the design document, or for what the calls have in common: that is so for each of them.
    machine = undefined;
    while (outcomes.length < call.items.length) outcomes.push(failed(errorMessage(error)));
  }
  if (machine === undefined) machines.delete(id);
  else keep(id, machine, shared);
  const report = { outcomes, machines: [...machines.keys()], log: lines };
  lines = [];
  return report;
}

/** Keeps the machine, and as many others as there is room for. */
function keep(id: number, machine: Machine, shared: Shared = []): void {
  for (const handle of shared) handle.dispose();
  machines.delete(id);
  if (machine.isUsable && machine.size <= KEPT_SIZE) machines.set(id, machine);
  const { maxKept, memory } = data.limits;
  let size = 0;
  for (const kept of machines.values()) size += kept.size;
  for (const [oldest, kept] of machines) {
    if (machines.size <= Math.max(1, maxKept) && size <= Math.max(memory, KEPT_SIZE)) break;
    machines.delete(oldest);
    size -= kept.size;
  }
}

parentPort?.on('message', (order: Order) => {
  // What fails here is a defect: the thread ends, and its pool hears of that.
  void run(order).then((report) => parentPort?.postMessage(report));
});
