import { anonymousMemory, MemoryWatch } from '../../test/system/support/proc.js';
import type { Connection } from './client.js';
import { processorMicroseconds } from './processes.js';
import type { Target } from './target.js';
import type { Round, Workload } from './workload.js';

/** What one round on one server gave. */
export interface Figures {
  /** Units a second. */
  readonly rate: number;
  /** Microseconds of the server's processor time for each unit; undefined where its process is not known. */
  readonly cpu: number | undefined;
  /** The most bytes of memory beyond those before the round. */
  readonly memory: number | undefined;
  /** Milliseconds from a request to its answer: the median. */
  readonly latency: number;
}

/**
 * Runs one round of a workload.
 * @param longest milliseconds after which no more requests are sent: for rounds whose figures do not count
 * @throws where the server does not answer as it should
 */
export async function measure(
  target: Target,
  workload: Workload,
  number: number,
  longest = Infinity,
): Promise<Figures> {
  const round = await workload.prepare(target, number);
  try {
    await check(target, workload, round);
    return await run(target, workload, round, longest);
  } finally {
    await round.tidy?.();
  }
}

/** Runs one round of a workload on a server that answers everything with what the model answers to one request. */
export async function measureBare(
  bare: Target,
  model: Target,
  workload: Workload,
  number: number,
  longest = Infinity,
): Promise<Figures> {
  const round = await workload.prepare(model, number);
  try {
    await bare.must('PUT', '/answer', await model.ask(round.sample.request));
    return await run(bare, workload, round, longest);
  } finally {
    await round.tidy?.();
  }
}

async function check(target: Target, { name }: Workload, { sample }: Round): Promise<void> {
  const answer = await target.ask(sample.request);
  if (!sample.holds(answer)) {
    throw new Error(`${target.name} answers ${name} with ${answer.slice(0, 200)}`);
  }
}

async function run(target: Target, workload: Workload, round: Round, longest: number): Promise<Figures> {
  const { pid } = target;
  const connections = await Promise.all(Array.from({ length: workload.connections }, () => target.open()));
  const memoryBefore = pid === undefined ? 0 : await anonymousMemory(pid);
  const watch = pid === undefined ? undefined : new MemoryWatch(pid);
  const cpuBefore = pid === undefined ? 0 : await processorMicroseconds(pid);
  const latencies: number[] = [];
  const started = performance.now();
  const end = started + longest;
  try {
    await Promise.all(
      connections.map((connection, at) => drive(connection, round.requests(at), round, end, latencies)),
    );
    const seconds = (performance.now() - started) / 1000;
    const cpu = pid === undefined ? undefined : (await processorMicroseconds(pid)) - cpuBefore;
    return {
      rate: round.units / seconds,
      cpu: cpu === undefined ? undefined : cpu / round.units,
      memory: watch === undefined ? undefined : (await watch.stop()) - memoryBefore,
      latency: latencies.sort((a, b) => a - b)[latencies.length >> 1] ?? Number.NaN,
    };
  } finally {
    await watch?.stop();
    for (const connection of connections) connection.close();
  }
}

/** Sends the requests of one connection, each when the one before is answered. */
async function drive(
  connection: Connection,
  requests: Iterator<Buffer, void, string>,
  { follows }: Round,
  end: number,
  latencies: number[],
): Promise<void> {
  let answer = '';
  for (let sent = performance.now(); sent < end;) {
    const next = requests.next(answer);
    if (next.done === true) return;
    const { status, body } = await connection.send(next.value, follows === true);
    if (status >= 300) throw new Error(`an answer of ${String(status)} while it was measured`);
    answer = body.toString();
    const answered = performance.now();
    latencies.push(answered - sent);
    sent = answered;
  }
}
