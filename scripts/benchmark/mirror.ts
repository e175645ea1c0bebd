import { setTimeout as sleep } from 'node:timers/promises';
import { Command, Option } from 'commander';
import { positive } from './arguments.js';
import { cpuOf, measureInTurn, medianOf, medianRatio, type Rounds } from './in-turn.js';
import { startCauseway, type Started } from './servers.js';
import type { Target } from './target.js';
import type { Workload } from './workload.js';
import { fill, workloads } from './workloads.js';

/** What clients of a mirror do all day. */
const WORKLOADS = ['get', 'changes', 'put', 'put-one', 'bulk', 'bulk-replicated'];
/** Those whose requests take long enough for a tenth of the documents: the machine changes within a second or two. */
const SHORT = new Set(['get', 'put', 'put-one']);

interface Options {
  readonly workload: readonly string[];
  readonly rounds: number;
  readonly documents: number;
}

/** Runs the benchmark; returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const command = new Command('scripts/bench-mirror')
    .description(
      'Measures requests for warm mirrors beside the same for databases of a server without an upstream, in turn: ' +
        'once while nothing flows, so that requests alone are measured, and once while what they write is sent.',
    )
    .addOption(new Option('--workload <name...>', 'only these').choices(WORKLOADS).default(WORKLOADS))
    .option('--rounds <number>', 'rounds of each; the median counts, after one that does not', positive, 20)
    .option('--documents <number>', 'documents of the database that is read', positive, 30_000);
  command.parse(args, { from: 'user' });
  const { workload: names, rounds, documents } = command.opts<Options>();
  const started: Started[] = [];
  const begin = async (settings?: Record<string, string>): Promise<Target> => {
    const server = await startCauseway(settings);
    started.push(server);
    return server.target;
  };
  try {
    const alone = await begin();
    const mirrors = gatewaySettings((await begin()).url);
    const [paused, flowing] = [await begin(mirrors), await begin(mirrors)];
    const arrange = async (target: Target): Promise<void> => {
      if (target !== alone) await untilSent(target);
      if (target === paused) await pauseAll(target);
    };
    for (const target of [alone, paused]) {
      await fill(target, documents);
      await arrange(target);
    }
    const chosen = [
      ...workloads(Math.ceil(documents / 10)).filter(({ name }) => SHORT.has(name)),
      ...workloads(documents).filter(({ name }) => !SHORT.has(name)),
    ].filter(({ name }) => names.includes(name));
    for (const workload of chosen.map((one) => arranged(one, arrange)))
      process.stdout.write(await compare([alone, paused], flowing, workload, rounds));
    return 0;
  } finally {
    for (const server of started.reverse()) await server.stop();
  }
}

function gatewaySettings(upstream: string): Record<string, string> {
  const { origin, username, password } = new URL(upstream);
  return {
    CAUSEWAY_UPSTREAM_URL: origin,
    CAUSEWAY_UPSTREAM_USERNAME: username,
    CAUSEWAY_UPSTREAM_PASSWORD: password,
    CAUSEWAY_UPSTREAM_ALLOW_DELETE: 'true',
  };
}

/** The same workload, in databases that something is done with before it is measured, and before they go. */
const arranged = (workload: Workload, arrange: (target: Target) => Promise<void>): Workload => ({
  ...workload,
  prepare: async (target, number) => {
    const round = await workload.prepare(target, number);
    await arrange(target);
    const tidy = async (): Promise<void> => {
      await arrange(target);
      await round.tidy?.();
    };
    return { ...round, tidy };
  },
});

interface Shown {
  readonly name: string;
  readonly state: string;
  readonly ahead: number | null;
}

async function mirrorsOf(target: Target): Promise<readonly Shown[]> {
  const text = await target.must('GET', '/_gateway/databases');
  return (JSON.parse(text) as { databases: readonly Shown[] }).databases;
}

/** Waits until all mirrors are served from here, and the upstream has what they have. */
async function untilSent(target: Target): Promise<void> {
  while (!(await mirrorsOf(target)).every(isDone)) await sleep(100);
}

const isDone = ({ state, ahead }: Shown): boolean => state === 'paused' || (state === 'warm' && ahead === 0);

async function pauseAll(target: Target): Promise<void> {
  for (const { name, state } of await mirrorsOf(target))
    if (state !== 'paused')
      await target.must('POST', `/_gateway/databases/${encodeURIComponent(name)}/pause`, '{}');
}

/** A line that says what was measured, and how the mirrors compare. */
async function compare(
  both: readonly Target[],
  flowing: Target,
  workload: Workload,
  rounds: number,
): Promise<string> {
  const [alone, paused] = await measureInTurn(both, workload, rounds);
  // Apart, as it has the upstream work, too.
  const [sending] = await measureInTurn([flowing], workload, rounds);
  if (alone === undefined || paused === undefined || sending === undefined) return '';
  const more = (mirror: Rounds): string =>
    `${medianOf(mirror, cpuOf).toFixed(1)} (${medianRatio(mirror, alone, cpuOf).toFixed(2)})`;
  return `${workload.title}, µs of processor time a ${workload.unit}: ${medianOf(alone, cpuOf).toFixed(1)} without an upstream, ${more(paused)} in a mirror, ${more(sending)} while it sends\n`;
}
