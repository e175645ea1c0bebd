import { describe, expect, it } from 'vitest';
import { type Job, type JobEvent, type JobState, NEW_JOB, step } from '../../src/replication/job.js';

/** Where each event leads from each state; undefined where it cannot happen. The compiler demands every cell. */
const EXPECTED: Record<JobState, Record<JobEvent['type'], JobState | undefined>> = {
  initializing: {
    accepted: 'pending',
    refused: 'failed',
    began: undefined,
    steppedAside: undefined,
    finished: undefined,
    crashed: 'crashing',
    due: undefined,
    changed: 'initializing',
  },
  pending: {
    accepted: undefined,
    refused: undefined,
    began: 'running',
    steppedAside: undefined,
    finished: undefined,
    crashed: undefined,
    due: undefined,
    changed: 'initializing',
  },
  running: {
    accepted: undefined,
    refused: 'failed',
    began: undefined,
    steppedAside: 'pending',
    finished: 'completed',
    crashed: 'crashing',
    due: undefined,
    changed: 'initializing',
  },
  crashing: {
    accepted: undefined,
    refused: undefined,
    began: undefined,
    steppedAside: undefined,
    finished: undefined,
    crashed: undefined,
    due: 'pending',
    changed: 'initializing',
  },
  completed: {
    accepted: undefined,
    refused: undefined,
    began: undefined,
    steppedAside: undefined,
    finished: undefined,
    crashed: undefined,
    due: undefined,
    changed: 'initializing',
  },
  failed: {
    accepted: undefined,
    refused: undefined,
    began: undefined,
    steppedAside: undefined,
    finished: undefined,
    crashed: undefined,
    due: undefined,
    changed: 'initializing',
  },
};

const eventOf = (type: JobEvent['type']): JobEvent =>
  type === 'refused' || type === 'crashed' ? { type, reason: 'why' } : { type };

describe.each(Object.entries(EXPECTED))('a job that is %s', (state, events) => {
  it.each(Object.entries(events))('hears that it %s', (type, expected) => {
    const job: Job = { state: state as JobState, errorCount: 2, reason: undefined };
    const next = step(job, eventOf(type as JobEvent['type']));
    if (expected === undefined) expect(next).toBe(job);
    else expect(next.state).toBe(expected);
  });
});

describe('a job', () => {
  it('counts its crashes until it ends well, and says why it crashed', () => {
    const run = (job: Job, ...types: JobEvent['type'][]): Job => types.map(eventOf).reduce(step, job);
    const crashed = run(NEW_JOB, 'accepted', 'began', 'crashed');
    expect(crashed).toEqual({ state: 'crashing', errorCount: 1, reason: 'why' });
    const waiting = run(crashed, 'due');
    expect(waiting).toEqual({ state: 'pending', errorCount: 1, reason: undefined });
    expect(run(waiting, 'began', 'crashed')).toMatchObject({ errorCount: 2 });
    expect(run(waiting, 'began', 'finished')).toEqual({
      state: 'completed',
      errorCount: 0,
      reason: undefined,
    });
    expect(run(waiting, 'changed')).toEqual(NEW_JOB);
  });
});
