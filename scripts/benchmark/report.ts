import type { Figures } from './measure.js';
import type { RawCosts } from './raw-limit.js';
import type { Target } from './target.js';
import type { Workload } from './workload.js';

/** The rounds of one workload, by the names of the servers. */
export interface Measured {
  readonly workload: Workload;
  readonly figures: ReadonlyMap<string, readonly Figures[]>;
}

export interface Surroundings {
  /** The first is what the others are compared to. */
  readonly targets: readonly Target[];
  readonly bare: Target;
  readonly raw: RawCosts;
  /** Milliseconds of one synced write. */
  readonly sync: number;
}

/**
 * The figures of every round as JSON text: `sync` in milliseconds, `raw` with microseconds of LevelDB alone by workload, and
 * `measured`.
 */
export const reportJson = (
  measured: readonly Measured[],
  { raw, sync }: Pick<Surroundings, 'raw' | 'sync'>,
): string =>
  JSON.stringify(
    { sync, raw, measured },
    (_, value: unknown) => (value instanceof Map ? (Object.fromEntries(value) as unknown) : value),
    2,
  );

/** A bare Fastify took so many microseconds for one GET on the machine for which limits are stated. */
const REFERENCE = 22;

/** The figures as a table in Markdown, and what else has to be known to read it. */
export function report(measured: readonly Measured[], { targets, bare, raw, sync }: Surroundings): string {
  const [first, ...others] = targets;
  if (first === undefined) throw new Error('there is no server to measure');
  const header = [
    'workload',
    ...targets.map(({ name }) => `${name}: per second · CPU µs · MB`),
    ...others.map(({ name }) => `× ${name}`),
    'bare Fastify + LevelDB, CPU µs',
    'of the limit',
  ];
  const rows = measured.map(({ workload, figures }) => {
    const of = (name: string): Figures => median(figures.get(name) ?? []);
    const own = of(first.name);
    const least = sum(of(bare.name).cpu, raw.get(workload.name));
    return [
      `${workload.title} (a ${workload.unit})`,
      ...targets.map(({ name }) => shown(of(name))),
      ...others.map(({ name }) => (own.rate / of(name).rate).toFixed(1)),
      micros(least),
      least === undefined || own.cpu === undefined ? '–' : `${String(Math.round((least / own.cpu) * 100))} %`,
    ];
  });
  const get = measured.find(({ workload }) => workload.name === 'get');
  const fastify = get && median(get.figures.get(bare.name) ?? []).cpu;
  const scale =
    fastify === undefined
      ? ''
      : `A bare Fastify takes ${micros(fastify)} µs for one GET here: limits stated for ${String(REFERENCE)} µs count ${(fastify / REFERENCE).toFixed(2)}-fold.\n`;
  const one = measured.find(({ workload }) => workload.name === 'put-one');
  const alone =
    one === undefined
      ? ''
      : `One PUT alone takes ${targets.map(({ name }) => `${median(one.figures.get(name) ?? []).latency.toFixed(2)} ms (${name})`).join(', ')}. `;
  const lines = [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |\n`);
  return `${lines.join('')}\nOne synced write takes ${sync.toFixed(2)} ms on this disk. ${alone}${scale}`;
}

const shown = ({ rate, cpu, memory }: Figures): string =>
  `${thousands(rate)} · ${micros(cpu)} · ${memory === undefined ? '–' : String(Math.round(memory / 1e6))}`;

const thousands = (rate: number): string => Number(rate.toPrecision(3)).toLocaleString('en');

const micros = (value: number | undefined): string =>
  value === undefined ? '–' : value < 10 ? value.toFixed(1) : String(Math.round(value));

const sum = (one: number | undefined, other: number | undefined): number | undefined =>
  one === undefined || other === undefined ? undefined : one + other;

/** Of each figure by itself. */
function median(rounds: readonly Figures[]): Figures {
  const middle = (values: readonly (number | undefined)[]): number | undefined =>
    values.filter((value) => value !== undefined).sort((a, b) => a - b)[values.length >> 1];
  return {
    rate: middle(rounds.map(({ rate }) => rate)) ?? Number.NaN,
    cpu: middle(rounds.map(({ cpu }) => cpu)),
    memory: middle(rounds.map(({ memory }) => memory)),
    latency: middle(rounds.map(({ latency }) => latency)) ?? Number.NaN,
  };
}
