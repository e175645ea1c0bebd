import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Info } from './support/couch.js';
import { Heap } from './support/heap.js';
import { INSPECTABLE } from './support/inspector.js';
import { Listener, openListeners } from './support/listeners.js';
import { openSockets } from './support/proc.js';
import { Restartable } from './support/restartable.js';
import { until } from './support/wait.js';

const MANY = 500;

let gateway: Restartable;

beforeEach(async () => {
  gateway = await Restartable.start();
  await gateway.couch.put('/db');
  await gateway.couch.put('/db/first', {});
});
afterEach(async () => {
  await gateway.remove();
});

const path = (feed: string, rest = 'heartbeat=10000'): string =>
  `/db/_changes?feed=${feed}&since=now&${rest}`;

/** Half of them longpoll, half continuous, none with anything to say. */
const idlePaths = (): string[] =>
  Array.from({ length: MANY }, (_, n) => path(n % 2 === 0 ? 'longpoll' : 'continuous'));

describe('feeds', () => {
  it(`one write wakes ${String(MANY)} idle listeners`, async () => {
    const listeners = await openListeners(gateway, idlePaths());
    await gateway.couch.put('/db/second', {});
    await until('all have the row', () => listeners.every((listener) => listener.text.includes('"second"')));
    await until('longpolls end', () => listeners.every((listener, n) => n % 2 === 1 || listener.complete));
    const [longpoll, continuous] = listeners;
    expect(JSON.parse(longpoll?.body ?? '')).toMatchObject({ results: [{ id: 'second' }], pending: 0 });
    expect(continuous?.over).toBe(false);
    // A feed that went on gets the next one too, once.
    await gateway.couch.put('/db/third', {});
    await until('all that went on have it', () =>
      listeners.every((listener, n) => n % 2 === 0 || listener.text.includes('"third"')),
    );
    for (const listener of listeners) expect(listener.text.split('"second"')).toHaveLength(2);
    for (const listener of listeners) listener.vanish();
  });

  it('clients that vanish leave nothing behind', async () => {
    const inspected = await Restartable.start({ env: INSPECTABLE });
    try {
      await inspected.couch.put('/db');
      const heap = await Heap.of(inspected.program);
      const sockets = await openSockets(inspected.pid);
      const comeAndGo = async (): Promise<number> => {
        const listeners = await openListeners(inspected, idlePaths());
        expect(await openSockets(inspected.pid)).toBeGreaterThanOrEqual(sockets + MANY);
        for (const listener of listeners) listener.vanish();
        await until('sockets are closed', async () => (await openSockets(inspected.pid)) <= sockets + 1);
        return await heap.reachable();
      };
      // Pools and caches fill, and code is compiled, while the first come and go.
      for (let warming = 0; warming < 3; warming += 1) await comeAndGo();
      const before = await comeAndGo();
      for (let round = 0; round < 3; round += 1) await comeAndGo();
      const left = (await comeAndGo()) - before;
      expect(left / (4 * MANY), 'bytes for each that came and went').toBeLessThan(500);
      heap.close();
      // A database that feeds have let go of can be deleted, and none of them is told.
      await inspected.couch.delete('/db');
    } finally {
      await inspected.remove();
    }
  });

  it('beats as often as it was asked to, and goes on', async () => {
    const feeds = ['longpoll', 'continuous', 'eventsource'].map((feed) =>
      Listener.open(gateway, path(feed, 'heartbeat=100')),
    );
    for (const feed of feeds)
      await until('three beats', () => (feed.body.match(/^(event: heartbeat|)\n/gm) ?? []).length >= 3);
    await gateway.couch.put('/db/late', {});
    for (const feed of feeds) await until('the row after the beats', () => feed.text.includes('"late"'));
    for (const feed of feeds) feed.vanish();
  });

  it('ends when its time is over, with the sequence to go on from', async () => {
    const { update_seq: seq } = (await gateway.couch.get('/db')) as Info;
    const longpoll = Listener.open(gateway, path('longpoll', 'timeout=200'));
    await until('the longpoll ends', () => longpoll.complete);
    expect(JSON.parse(longpoll.body)).toEqual({ results: [], last_seq: seq, pending: 0 });
    const continuous = Listener.open(gateway, path('continuous', 'timeout=200'));
    await until('the continuous feed ends', () => continuous.complete);
    expect(JSON.parse(continuous.body)).toEqual({ last_seq: seq, pending: 0 });
  });

  it('ends properly when its database is deleted', async () => {
    const feeds = ['longpoll', 'continuous', 'eventsource'].map((feed) => Listener.open(gateway, path(feed)));
    for (const feed of feeds) await until('the feed begins', () => feed.text.startsWith('HTTP/1.1 200'));
    await gateway.couch.delete('/db');
    for (const feed of feeds) await until('the feed ends', () => feed.complete);
  });

  it('ends properly when the server is stopped', async () => {
    const { update_seq: seq } = (await gateway.couch.get('/db')) as Info;
    const listeners = await openListeners(gateway, [...idlePaths(), path('eventsource')]);
    await gateway.stop();
    await until('all have ended', () => listeners.every((listener) => listener.over));
    for (const listener of listeners) expect(listener.complete).toBe(true);
    expect(JSON.parse(listeners[0]?.body ?? '')).toEqual({ results: [], last_seq: seq, pending: 0 });
  });
});
