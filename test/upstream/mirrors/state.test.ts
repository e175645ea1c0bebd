import { describe, expect, it } from 'vitest';
import {
  type MirrorEvent,
  type MirrorState,
  NEW_MIRROR,
  type Standing,
  step,
} from '../../../src/upstream/mirrors/state.js';

type Expected = Record<MirrorEvent['type'], MirrorState>;

/** What is the same wherever it comes from. */
const ALWAYS = {
  missing: 'upstream-missing',
  replaced: 'upstream-replaced',
  differs: 'upstream-differs',
} as const;

const halted = (state: MirrorState): Expected => ({
  ...ALWAYS,
  ran: state,
  warmed: state,
  failed: state,
  paused: state,
  resumed: state,
  known: state,
  chosen: 'warm',
  emptied: state,
});

/** Where each event leads a warm mirror from each state. The compiler demands every cell. */
const EXPECTED: Record<MirrorState, Expected> = {
  warming: {
    ...ALWAYS,
    ran: 'warming',
    warmed: 'warm',
    failed: 'failing',
    paused: 'paused',
    resumed: 'warming',
    known: 'warming',
    chosen: 'warming',
    emptied: 'warming',
  },
  warm: {
    ...ALWAYS,
    ran: 'warm',
    warmed: 'warm',
    failed: 'failing',
    paused: 'paused',
    resumed: 'warm',
    known: 'warm',
    chosen: 'warm',
    emptied: 'warming',
  },
  failing: {
    ...ALWAYS,
    ran: 'warm',
    warmed: 'warm',
    failed: 'failing',
    paused: 'paused',
    resumed: 'warm',
    known: 'failing',
    chosen: 'warm',
    emptied: 'warming',
  },
  paused: { ...halted('paused'), resumed: 'warm' },
  'upstream-missing': { ...halted('upstream-missing'), known: 'warm' },
  'upstream-replaced': { ...halted('upstream-replaced'), known: 'warm' },
  'upstream-differs': halted('upstream-differs'),
};

const eventOf = (type: MirrorEvent['type']): MirrorEvent =>
  type === 'failed' || type === 'missing' || type === 'replaced' || type === 'differs'
    ? { type, reason: 'why' }
    : { type };

describe.each(Object.entries(EXPECTED))('a mirror that is %s', (state, events) => {
  const standing: Standing = { state: state as MirrorState, isWarm: state !== 'warming', reason: undefined };

  it.each(Object.entries(events))('hears that it is %s', (type, expected) => {
    expect(step(standing, eventOf(type as MirrorEvent['type'])).state).toBe(expected);
  });
});

describe('a mirror', () => {
  const run = (...types: MirrorEvent['type'][]): Standing => types.map(eventOf).reduce(step, NEW_MIRROR);

  it('is warm or not, whatever its state', () => {
    expect(run('warmed', 'failed')).toEqual({ state: 'failing', isWarm: true, reason: 'why' });
    expect(run('failed', 'paused', 'resumed')).toEqual(NEW_MIRROR);
    expect(run('warmed', 'missing', 'emptied', 'chosen')).toEqual(NEW_MIRROR);
    expect(run('paused', 'warmed', 'resumed').state).toBe('warm');
  });

  it('says why only as long as it matters', () => {
    expect(run('warmed', 'failed', 'ran').reason).toBeUndefined();
    expect(run('warmed', 'replaced', 'known').reason).toBeUndefined();
    expect(run('warmed', 'failed', 'paused').reason).toBeUndefined();
  });
});
