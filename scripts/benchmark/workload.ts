import type { Target } from './target.js';

/** One kind of request, measured on every server in turn. */
export interface Workload {
  readonly name: string;
  readonly title: string;
  /** What is counted: the figures are for one of these. */
  readonly unit: 'request' | 'document' | 'row';
  readonly connections: number;
  /** Makes what one round needs. */
  prepare(target: Target, round: number): Promise<Round>;
}

/** One round of a workload on one server. */
export interface Round {
  /** Units that it is made of. */
  readonly units: number;
  /**
   * The requests of one connection, made as they are asked for.
   * @param connection counted from 0
   */
  requests(connection: number): Iterator<Buffer, void, string>;
  /** Whether answers are given back to `requests`; otherwise it gets empty texts. */
  readonly follows?: boolean;
  /** A request whose answer shows that the server does what is measured, and how that answer is judged. */
  readonly sample: { readonly request: Buffer; readonly holds: (answer: string) => boolean };
  readonly tidy?: () => Promise<void>;
}

export function reading(
  name: string,
  title: string,
  unit: Workload['unit'],
  connections: number,
  prepare: (target: Target) => Round | Promise<Round>,
): Workload {
  return { name, title, unit, connections, prepare: async (target) => prepare(target) };
}

/** Every so many of some requests: those of one connection. */
export function* strided(
  all: readonly Buffer[],
  first: number,
  step: number,
): Generator<Buffer, void, string> {
  for (const [at, request] of all.entries()) if (at % step === first) yield request;
}
