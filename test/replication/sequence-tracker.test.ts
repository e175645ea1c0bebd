import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SequenceTracker, type Ticket } from '../../src/replication/sequence-tracker.js';

/** A batch that begins, or one that began and is let go of. */
const events = fc.array(fc.oneof(fc.constant('begin' as const), fc.nat()), { maxLength: 60 });

test('everything up to a sequence is done when batches come to their ends in any order', () => {
  fc.assert(
    fc.property(events, (all) => {
      let moves = 0;
      const tracker = new SequenceTracker(0, () => moves++);
      const tickets: Ticket[] = [];
      for (const event of all) {
        const before = tracker.through;
        if (event === 'begin') tickets.push(tracker.begin(tickets.length + 1));
        else tickets.filter(({ isDone }) => !isDone)[event % 5]?.release();
        const first = tickets.findIndex(({ isDone }) => !isDone);
        expect(tracker.through).toBe(first === -1 ? tickets.length : first);
        expect(moves).toBe(tracker.through === before ? 0 : 1);
        moves = 0;
      }
    }),
  );
});

test('a batch that is held has all others pass without being kept', () => {
  setFlagsFromString('--expose_gc');
  const collect = runInNewContext('gc') as () => void;
  const tracker = new SequenceTracker(0, () => undefined);
  const held = tracker.begin(1);
  const passed: WeakRef<Ticket>[] = [];
  for (let seq = 2; seq <= 1000; seq++) {
    const ticket = tracker.begin(seq);
    passed.push(new WeakRef(ticket));
    ticket.release();
  }
  // What a reference was made to in this turn is kept until the next.
  return new Promise(setImmediate).then(() => {
    collect();
    expect(passed.filter((one) => one.deref() !== undefined).length).toBeLessThan(10);
    held.release();
    expect(tracker.through).toBe(1000);
  });
});
