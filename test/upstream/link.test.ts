import { describe, expect, it } from 'vitest';
import { type Link, type LinkEvent, type LinkState, NEW_LINK, step } from '../../src/upstream/link.js';

/** Where each event leads from each state. The compiler demands every cell. */
const EXPECTED: Record<LinkState, Record<LinkEvent['type'], LinkState>> = {
  connecting: {
    answered: 'connecting',
    proven: 'online',
    failed: 'connecting',
    lost: 'offline',
    refused: 'unauthorised',
    changed: 'connecting',
  },
  online: {
    answered: 'online',
    proven: 'online',
    failed: 'degraded',
    lost: 'offline',
    refused: 'unauthorised',
    changed: 'connecting',
  },
  degraded: {
    answered: 'degraded',
    proven: 'online',
    failed: 'degraded',
    lost: 'offline',
    refused: 'unauthorised',
    changed: 'connecting',
  },
  offline: {
    answered: 'connecting',
    proven: 'online',
    failed: 'offline',
    lost: 'offline',
    refused: 'unauthorised',
    changed: 'connecting',
  },
  unauthorised: {
    answered: 'unauthorised',
    proven: 'online',
    failed: 'unauthorised',
    lost: 'offline',
    refused: 'unauthorised',
    changed: 'connecting',
  },
};

const eventOf = (type: LinkEvent['type']): LinkEvent =>
  type === 'failed' || type === 'lost' || type === 'refused' ? { type, reason: 'why' } : { type };

describe.each(Object.entries(EXPECTED))('a link that is %s', (state, events) => {
  it.each(Object.entries(events))('hears that it is %s', (type, expected) => {
    const link: Link = { state: state as LinkState, failures: 2, reason: undefined };
    expect(step(link, eventOf(type as LinkEvent['type'])).state).toBe(expected);
  });
});

describe('a link', () => {
  const run = (link: Link, ...types: LinkEvent['type'][]): Link => types.map(eventOf).reduce(step, link);

  it('counts how often it was lost until it is online again, and says why', () => {
    const lost = run(NEW_LINK, 'proven', 'lost', 'lost');
    expect(lost).toEqual({ state: 'offline', failures: 2, reason: 'why' });
    expect(run(lost, 'refused')).toEqual({ state: 'unauthorised', failures: 3, reason: 'why' });
    expect(run(lost, 'answered')).toEqual({ state: 'connecting', failures: 2, reason: 'why' });
    expect(run(lost, 'answered', 'proven')).toEqual({ state: 'online', failures: 0, reason: undefined });
  });

  it('does not count requests that fail while others do not', () => {
    expect(run(NEW_LINK, 'proven', 'failed', 'failed')).toEqual({
      state: 'degraded',
      failures: 0,
      reason: 'why',
    });
  });

  it('knows nothing any more once it is to be another one', () => {
    expect(run(NEW_LINK, 'lost', 'changed')).toEqual(NEW_LINK);
  });
});
