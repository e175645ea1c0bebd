import { execFile } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import path from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  type Considered,
  considering,
  type DocumentGiven,
  type Unread,
} from '../../src/conflicts/considering.js';
import { builtIn } from '../../src/conflicts/functions/builtin.js';
import { BuiltInThread } from '../../src/conflicts/sources/builtin/thread.js';
import { CageUnavailable } from '../../src/conflicts/sources/cage.js';
import { atOnce } from '../../src/json/turns.js';
import { insert } from '../../src/revtree/insert.js';
import { documentOf, merged, type Sides } from './functions/support.js';

const LONG_ENOUGH = 600_000;
const threeWay = builtIn('three-way');

let thread: BuiltInThread;
beforeEach(() => {
  thread = new BuiltInThread();
});
afterEach(() => thread.close());

const ask = (document: DocumentGiven, timeout = LONG_ENOUGH): Promise<Considered | Unread> =>
  thread.consider(threeWay, document, timeout);

const sides = (n: number): Sides => ({
  leaves: [`{"n":${String(n)},"a":1}`, `{"n":${String(n)},"b":1.0}`],
  bases: `{"n":${String(n)}}`,
});

/** Takes many times as long as one that is small. */
function longSides(size = 10_000): Sides {
  const members = Array.from({ length: size }, (_, n) => `"m${String(n)}":[${String(n)}]`).join(',');
  return {
    leaves: [`{${members},"a":1}`, `{"b":1,${members}}`],
    bases: `{${members}}`,
  };
}

describe('what is asked of the thread', () => {
  test('is answered as it is here, by the function that was asked', async () => {
    const cases: [string, Record<string, unknown>, Sides][] = [
      ...Array.from({ length: 200 }, (_, n): [string, Record<string, unknown>, Sides] => [
        'three-way',
        {},
        sides(n),
      ]),
      ['three-way', { fields: { '/n': 'counter' } }, { leaves: ['{"n":3}', '{"n":5}'], bases: '{"n":1}' }],
      ['three-way', {}, { leaves: ['{"n":3}', '{"n":5}'], bases: '{"n":1}' }],
      ['union', { withoutBase: 'add' }, { leaves: ['{"l":[1]}', '{"l":[2]}'] }],
      ['last-write-wins', { field: '/at' }, { leaves: ['{"at":1}', '{"at":12345678901234567890}'] }],
      ['three-way', {}, longSides()],
      // It is merged here.
      ['three-way', {}, longSides(50_000)],
      ['keep-both', {}, { leaves: ['{"n":1}', '{"n":2}'] }],
      ['text', {}, { leaves: ['{"t":"a\\nb\\nC"}', '{"t":"A\\nb\\nc"}'], bases: '{"t":"a\\nb\\nc"}' }],
      [
        'three-way',
        {},
        {
          leaves: ['{"_attachments":{"é":"md5-1"}}', '{"x":"\ud83d\ude00","_attachments":{"b":"md5-2"}}'],
          bases: '{"y":"\\u0000"}',
        },
      ],
    ];
    const answers = await Promise.all(
      cases.map(([name, options, one]) =>
        thread.consider(builtIn(name, options), documentOf(one), LONG_ENOUGH),
      ),
    );
    const here = cases.map(([name, options, one]) =>
      atOnce(considering(documentOf(one), builtIn(name, options), LONG_ENOUGH)),
    );
    expect(answers).toEqual(here);
    for (const [at, [name, options, one]] of cases.entries()) {
      const answer = answers[at];
      if (answer?.kind !== 'merged' || answer.outcome !== 'merge') continue;
      const { body, attachments } = answer.writes.merged;
      const names = Array.from(attachments, ([file, { digest }]) => `"${file}":"${digest}"`);
      const attached = names.length === 0 ? '' : `,"_attachments":{${names.join(',')}}`;
      expect(`{${body}${attached}}`).toBe(merged(name, options, one));
    }
    expect(answers.map((one) => one.kind).filter((kind) => kind !== 'merged')).toEqual(['unmerged']);
  });

  test('is told what is wanted before it decides', async () => {
    const { bodies, ...document } = documentOf(sides(1));
    const leaves = [...bodies.keys()].filter((rev) => rev.startsWith('2-'));
    const given = (revs: readonly string[]): DocumentGiven => ({
      ...document,
      bodies: new Map(revs.map((rev) => [rev, bodies.get(rev)])),
    });
    await expect(ask(given([]))).resolves.toEqual({ kind: 'unread', revs: leaves });
    await expect(ask(given(leaves))).resolves.toEqual({ kind: 'unread', revs: ['1-a'] });
    await expect(
      ask({ ...document, bodies: new Map([...bodies, ['1-a', undefined]]) }),
    ).resolves.toMatchObject({
      kind: 'unmerged',
      hasFailed: false,
    });
  });

  test('asks no function that may not be asked', async () => {
    const document = { ...documentOf(sides(1)), mayMerge: false };
    await expect(ask(document)).resolves.toEqual({ kind: 'unasked' });
    await expect(ask({ ...document, bodies: new Map() })).resolves.toMatchObject({ kind: 'unread' });
  });

  test('may be of a document with a long history', async () => {
    const { bodies, ...document } = documentOf(sides(1));
    const ids = Array.from({ length: 20_000 }, (_, at) => `x${String(at)}`);
    const first = insert([], 20_001, ['9', ...ids], false, 30_000);
    const { tree } = insert(first.tree, 20_001, ['8', ...ids], false, 30_000);
    const texts = [...bodies.values()];
    const read = new Map(['20001-9', '20001-8', '20000-x0'].map((rev, at) => [rev, texts[at]]));
    await expect(ask({ ...document, tree, bodies: read })).resolves.toMatchObject({ kind: 'merged' });
  });

  test('waits for nothing that takes long', async () => {
    const order: string[] = [];
    const long = ask(documentOf(longSides())).then(() => order.push('long'));
    const short = ask(documentOf(sides(1))).then(() => order.push('short'));
    await Promise.all([long, short]);
    expect(order).toEqual(['short', 'long']);
  });

  test.each([10_000, 50_000])('fails where it takes too long: %d members', async (size) => {
    await expect(ask(documentOf(longSides(size)), 0)).resolves.toEqual({
      kind: 'unmerged',
      hasFailed: true,
      reason: 'it took more than 0 ms',
    });
  });

  test('waits where the thread cannot be started, or has other functions', async () => {
    const post = vi.spyOn(Worker.prototype, 'postMessage').mockImplementationOnce(() => {
      throw new Error('no thread');
    });
    const both = [1, 2].map((n) => ask(documentOf(sides(n))));
    for (const one of await Promise.allSettled(both))
      expect(one).toMatchObject({ status: 'rejected', reason: new CageUnavailable('no thread') });
    post.mockRestore();
    const other = thread.consider(
      { ...threeWay, version: 'three-way 0 {}' },
      documentOf(sides(1)),
      LONG_ENOUGH,
    );
    await expect(other).rejects.toThrow(CageUnavailable);
    await expect(ask(documentOf(sides(1)))).resolves.toMatchObject({ kind: 'merged' });
  });

  test('is what was configured, whatever becomes of that', async () => {
    const options = { fields: { '/n': 'max' } };
    const merge = builtIn('three-way', options);
    options.fields['/n'] = 'min';
    const clash = documentOf({ leaves: ['{"n":3}', '{"n":5}'], bases: '{"n":1}' });
    const considered = await thread.consider(merge, clash, LONG_ENOUGH);
    expect(considered).toMatchObject({ writes: { merged: { body: '"n":5' } } });
  });

  test.each(['just now', 'and under way'])('fails once it is closed: %s', async (when) => {
    if (when === 'and under way') await ask(documentOf(sides(1)));
    const asked = ask(documentOf(longSides()));
    // It fails while the thread is being closed: somebody has to look at it by then.
    const refused = expect(asked).rejects.toThrow(CageUnavailable);
    if (when === 'and under way') await new Promise(setImmediate);
    await thread.close();
    await refused;
    await expect(ask(documentOf(sides(1)))).rejects.toThrow(CageUnavailable);
  });
});

test('A thread that was idle ends, and another takes its place', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    // Other threads of this process may end meanwhile.
    const post = vi.spyOn(Worker.prototype, 'postMessage');
    await ask(documentOf(sides(1)));
    const worker = post.mock.contexts[0] as Worker;
    post.mockRestore();
    const terminate = vi.spyOn(worker, 'terminate');
    vi.advanceTimersByTime(29_000);
    await ask(documentOf(sides(2)));
    vi.advanceTimersByTime(29_000);
    expect(vi.getTimerCount()).toBe(1);
    expect(terminate).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1000);
    expect(vi.getTimerCount()).toBe(0);
    expect(terminate).toHaveBeenCalledOnce();
    await expect(terminate.mock.results[0]?.value).resolves.toBe(1);
    expect(await ask(documentOf(sides(3)))).toMatchObject({ kind: 'merged' });
  } finally {
    vi.useRealTimers();
  }
});

test('A thread keeps no process from ending', async () => {
  const lib = pathToFileURL(path.join(import.meta.dirname, '../../dist/lib/')).href;
  const program = `
    import { builtIn } from '${lib}conflicts/functions/builtin.js';
    import { BuiltInThread } from '${lib}conflicts/sources/builtin/thread.js';
    const busy = setInterval(() => undefined, 1000);
    const tree = ['b', 'a'].map((hash) => ({ pos: 1, ids: [hash, { status: 'available' }, []] }));
    const bodies = new Map(['b', 'a'].map((hash) => ['1-' + hash, '{"_id":"one","_rev":"1-' + hash + '"}']));
    const document = { id: 'one', tree, bodies, mayMerge: true };
    console.log((await new BuiltInThread().consider(builtIn('three-way'), document, 10_000)).kind);
    clearInterval(busy);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  expect(stdout).toBe('tidy\n');
});
