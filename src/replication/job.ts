/**
 * The life of a replication job as a pure state machine: whoever schedules jobs tells it what happened, and does what it
 * says. `↯` marks what cannot happen, and leaves the job as it is.
 *
 * |                | accepted | refused | began   | stepped aside | finished  | crashed  | due     | changed      |
 * | -------------- | -------- | ------- | ------- | ------------- | --------- | -------- | ------- | ------------ |
 * | `initializing` | pending  | failed  | ↯       | ↯             | ↯         | crashing | ↯       | initializing |
 * | `pending`      | ↯        | ↯       | running | ↯             | ↯         | ↯        | ↯       | initializing |
 * | `running`      | ↯        | failed  | ↯       | pending       | completed | crashing | ↯       | initializing |
 * | `crashing`     | ↯        | ↯       | ↯       | ↯             | ↯         | ↯        | pending | initializing |
 * | `completed`    | ↯        | ↯       | ↯       | ↯             | ↯         | ↯        | ↯       | initializing |
 * | `failed`       | ↯        | ↯       | ↯       | ↯             | ↯         | ↯        | ↯       | initializing |
 *
 * `completed` and `failed` are ends: only a change of what was asked for leads out of them.
 */
export type JobState = 'initializing' | 'pending' | 'running' | 'crashing' | 'completed' | 'failed';

export type JobEvent =
  /** What was asked for could be read; the job may run. */
  | { readonly type: 'accepted' }
  /** It makes no sense, and will not by itself. */
  | { readonly type: 'refused'; readonly reason: string }
  /** Its turn has come. */
  | { readonly type: 'began' }
  /** It gave its place to another one. */
  | { readonly type: 'steppedAside' }
  /** Everything is replicated. */
  | { readonly type: 'finished' }
  /** It ended with an error, or could not be prepared. */
  | { readonly type: 'crashed'; readonly reason: string }
  /** It has waited long enough after it crashed. */
  | { readonly type: 'due' }
  /** Something else is asked for under the same name. */
  | { readonly type: 'changed' };

export interface Job {
  readonly state: JobState;
  /** How often it crashed since it last ran well. */
  readonly errorCount: number;
  /** Why it is `crashing` or `failed`. */
  readonly reason: string | undefined;
}

export const NEW_JOB: Job = { state: 'initializing', errorCount: 0, reason: undefined };

type Handler<Type extends JobEvent['type']> = (job: Job, event: Extract<JobEvent, { type: Type }>) => Job;
type Row = { readonly [Type in JobEvent['type']]?: Handler<Type> };

const become =
  (state: JobState) =>
  (job: Job): Job => ({ ...job, state, reason: undefined });

const fail = (job: Job, { reason }: { readonly reason: string }): Job => ({
  ...job,
  state: 'failed',
  reason,
});
const crash = (job: Job, { reason }: { readonly reason: string }): Job => ({
  state: 'crashing',
  errorCount: job.errorCount + 1,
  reason,
});
const again = (): Job => NEW_JOB;

/** What the table above says. */
const TABLE: Readonly<Record<JobState, Row>> = {
  initializing: { accepted: become('pending'), refused: fail, crashed: crash, changed: again },
  pending: { began: become('running'), changed: again },
  running: {
    refused: fail,
    steppedAside: become('pending'),
    finished: (job) => ({ ...become('completed')(job), errorCount: 0 }),
    crashed: crash,
    changed: again,
  },
  crashing: { due: become('pending'), changed: again },
  completed: { changed: again },
  failed: { changed: again },
};

/** @returns the same job where the event cannot happen to it */
export function step(job: Job, event: JobEvent): Job {
  const handler = TABLE[job.state][event.type] as ((job: Job, event: JobEvent) => Job) | undefined;
  return handler?.(job, event) ?? job;
}
