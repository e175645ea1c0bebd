import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCage, type Cage } from './support.js';

const COUNTING = { shows: { s: 'function () { count = globalThis.count + 1 || 1; return String(count) }' } };
const ENDLESS = {
  shows: { s: 'function () { for (;;); }', join: 'function () { return new Array(4e8).join("") }' },
};
const LOST = { status: 500, error: 'os_process_error' };

let cage: Cage;
const show = async (name: string): Promise<unknown> => {
  const functions = await cage.functions(name);
  return (JSON.parse(await functions.show('s', 'null', '{"path":[]}')) as { body: unknown }).body;
};

describe('what a function keeps', () => {
  beforeAll(async () => {
    cage = await openCage();
    for (const name of ['a', 'b']) {
      await cage.app.request('PUT', `/${name}`);
      await cage.write(name, COUNTING);
    }
  });
  afterAll(() => cage.close());

  it('is there when it is called again, and nowhere else', async () => {
    expect([await show('a'), await show('a'), await show('b'), await show('a')]).toEqual([
      '1',
      '2',
      '1',
      '3',
    ]);
  });

  it('is not there for the same functions in a database that is made anew', async () => {
    await show('a');
    await cage.app.request('DELETE', '/a');
    await cage.app.request('PUT', '/a');
    await cage.write('a', COUNTING);
    expect(await show('a')).toBe('1');
  });

  it('is not there after the design document changed, even to what it was', async () => {
    await show('b');
    await cage.write('b', COUNTING);
    expect(await show('b')).toBe('1');
  });

  it('is not there after an admin has query servers reloaded', async () => {
    await show('b');
    const answer = await cage.app.request('POST', '/_reload_query_servers', { json: {} });
    expect(answer).toMatchObject({ status: 200, body: { ok: true } });
    expect(await show('b')).toBe('1');
  });

  it('is not there for a call that was made before the change', async () => {
    const before = await cage.functions('b');
    await cage.write('b', { shows: { s: 'function () { return "new" }' } });
    expect(await show('b')).toBe('new');
    expect(await before.show('s', 'null', '{"path":[]}')).toContain('body');
  });

  it('is limited, over all design documents', async () => {
    const kept = { shows: { s: 'function () { kept = new Array(1e5).fill("x"); return "x" }' } };
    for (let i = 0; i < 20; i++) {
      await cage.write('b', kept);
      await show('b');
    }
    expect(await show('b')).toBe('x');
  });
});

describe('functions that take long', () => {
  beforeAll(async () => {
    cage = await openCage({ timeout: 1500, slowThreads: 2 });
  });
  afterAll(() => cage.close());

  it('delay nobody in other databases, however many there are', async () => {
    const filter = await cage.of({ filters: { f: 'function (doc) { return doc.n === 1 }' } });
    const runaways = await Promise.all(Array.from({ length: 5 }, () => cage.of(ENDLESS)));
    let ended = 0;
    const ends = runaways.map((functions) => functions.show('s', 'null', '{}').finally(() => ended++));
    const all = Promise.allSettled(ends);
    for (let i = 0; i < 20; i++) {
      expect(await filter.filter('f', ['{"n":1}', '{"n":2}'], '{}')).toEqual([true, false]);
      await setImmediate();
    }
    expect(ended).toBeLessThan(5);
    for (const result of await all) expect(result).toMatchObject({ status: 'rejected', reason: LOST });
  });

  it('delay no other function of their own database', async () => {
    await cage.app.request('PUT', '/own');
    await cage.write('own', ENDLESS);
    const endless = await cage.functions('own');
    await cage.app.request('PUT', '/own/_design/quick', {
      json: { filters: { f: 'function (doc) { return true }' } },
    });
    const quick = await cage.app.databases.use('own', (db) =>
      Promise.resolve(cage.app.sandbox.design(db, '_design/quick')),
    );
    let isEnded = false;
    const end = endless.show('s', 'null', '{}').finally(() => (isEnded = true));
    const outcome = expect(end).rejects.toMatchObject(LOST);
    expect(await quick.filter('f', ['{}'], '{}')).toEqual([true]);
    expect(isEnded).toBe(false);
    await outcome;
  });

  it('lose only the document that they take long for', async () => {
    const functions = await cage.of({
      validate_doc_update:
        'function (doc) { if (doc.n === 3) for (;;); if (doc.n === 5) new Array(4e8).join(""); if (doc.n % 2) throw {forbidden: "odd"} }',
    });
    const pairs = Array.from({ length: 8 }, (_, n) => ({ document: JSON.stringify({ n }), before: 'null' }));
    const verdicts = await functions.validate(pairs, '{}', '{}');
    const odd = 'forbidden';
    expect(verdicts.map((verdict) => verdict?.error)).toEqual([
      undefined,
      odd,
      undefined,
      LOST.error,
      undefined,
      LOST.error,
      undefined,
      odd,
    ]);
  });

  it('leave the thread between documents, so that they end', async () => {
    const slow = await cage.of({
      filters: {
        f: 'function (doc) { for (var end = Date.now() + 20; Date.now() < end;); return doc.n % 2 === 0 }',
      },
    });
    const documents = Array.from({ length: 20 }, (_, n) => JSON.stringify({ n }));
    expect(await slow.filter('f', documents, '{}')).toEqual(documents.map((_, n) => n % 2 === 0));
  });
});

describe('a call with many documents', () => {
  it('ends in time, though its function does not let go of a thread', async () => {
    cage = await openCage({ timeout: 100 });
    try {
      const functions = await cage.of({
        validate_doc_update: 'function (doc) { if (doc.n < 10) new Array(4e8).join("") }',
      });
      const pairs = Array.from({ length: 11 }, (_, n) => ({ document: `{"n":${n}}`, before: 'null' }));
      const verdicts = await functions.validate(pairs, '{}', '{}');
      expect(verdicts.map((verdict) => verdict?.error)).toEqual(pairs.map(() => LOST.error));
    } finally {
      await cage.close();
    }
  });

  it('keeps the thread where there is no room for its design document', async () => {
    cage = await openCage({ memory: 2 ** 20 });
    try {
      const functions = await cage.of({
        validate_doc_update: 'function () {}',
        large: Array.from({ length: 1e5 }, () => ({})),
      });
      const verdicts = await functions.validate(
        Array(3).fill({ document: '{}', before: 'null' }),
        '{}',
        '{}',
      );
      expect(verdicts.map((verdict) => verdict?.error)).toEqual(Array(3).fill(LOST.error));
      expect(cage.app.errors.join('')).not.toContain('a thread that runs functions ended');
    } finally {
      await cage.close();
    }
  });
});

describe('a call that nobody waits for', () => {
  it('is not made, or left where it is', async () => {
    cage = await openCage({ timeout: 600_000 });
    try {
      await cage.app.request('PUT', '/left');
      await cage.write('left', {
        shows: { s: 'function () { for (;;); }', quick: 'function () { return "x" }' },
      });
      const gone = new Error('gone');
      const departure = new AbortController();
      const left = await cage.functions('left', departure.signal);
      const here = await cage.functions('left');
      await here.show('quick', 'null', '{}');
      const calls = Promise.allSettled([1, 2, 3].map(() => left.show('s', 'null', '{}')));
      await setImmediate();
      const answer = here.show('quick', 'null', '{}');
      departure.abort(gone);
      expect(await answer).toBe('{"body":"x"}');
      expect(await calls).toEqual(Array(3).fill({ status: 'rejected', reason: gone }));
      await expect(left.show('quick', 'null', '{}')).rejects.toBe(gone);
    } finally {
      await cage.close();
    }
  });
});

describe('a thread that ends', () => {
  it('is replaced', async () => {
    // More text than a thread has room for.
    cage = await openCage({ memory: 2 ** 30, maxOutput: 1e9 });
    try {
      const functions = await cage.of({
        shows: { s: 'function (doc) { return doc ? "x" : new Array(3e8).join("x") }' },
      });
      await expect(functions.show('s', 'null', '{}')).rejects.toMatchObject(LOST);
      expect(await functions.show('s', '{}', '{}')).toBe('{"body":"x"}');
    } finally {
      await cage.close();
    }
  });

  it('answers what it did not do when the server stops', async () => {
    cage = await openCage();
    const functions = await Promise.all([cage.of(ENDLESS), cage.of(ENDLESS), cage.of(ENDLESS)]);
    const calls = functions.flatMap((one) => [one.show('s', 'null', '{}'), one.show('join', 'null', '{}')]);
    const results = Promise.allSettled(calls);
    await setImmediate();
    await cage.close();
    for (const result of await results)
      expect(result).toMatchObject({ status: 'rejected', reason: { status: 503 } });
    await expect(functions[0].show('s', 'null', '{}')).rejects.toMatchObject({ status: 503 });
  });
});
