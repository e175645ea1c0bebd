import { execFile } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import path from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { contentDigest } from '../../src/conflicts/digest.js';
import { builtIn } from '../../src/conflicts/functions/builtin.js';
import { BuiltInThread } from '../../src/conflicts/sources/builtin/thread.js';
import { CageUnavailable } from '../../src/conflicts/sources/cage.js';
import type { ConflictText, ResolutionText } from '../../src/conflicts/types.js';
import { conflictOf, resolve, type Sides } from './functions/support.js';

const LONG_ENOUGH = 600_000;
const threeWay = builtIn('three-way');

let thread: BuiltInThread;
beforeEach(() => {
  thread = new BuiltInThread();
});
afterEach(() => thread.close());

const ask = (conflict: ConflictText, timeout = LONG_ENOUGH): Promise<ResolutionText> =>
  thread.ask(threeWay, conflict, timeout);

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
      cases.map(([name, options, one]) => thread.ask(builtIn(name, options), conflictOf(one), LONG_ENOUGH)),
    );
    expect(answers).toEqual(cases.map(([name, options, one]) => resolve(name, options, one)));
  });

  test('has the digest of what was merged', async () => {
    const merged = await ask(conflictOf(sides(1)));
    if (merged.kind !== 'merge') throw new Error(merged.kind);
    // A content of its own has none yet.
    expect(contentDigest(merged.content)).toBe(contentDigest({ ...merged.content }));
  });

  test('waits for nothing that takes long', async () => {
    const order: string[] = [];
    const long = ask(conflictOf(longSides())).then(() => order.push('long'));
    const short = ask(conflictOf(sides(1))).then(() => order.push('short'));
    await Promise.all([long, short]);
    expect(order).toEqual(['short', 'long']);
  });

  test.each([10_000, 50_000])('fails where it takes too long: %d members', async (size) => {
    await expect(ask(conflictOf(longSides(size)), 0)).rejects.toThrow('it took more than 0 ms');
  });

  test('waits where the thread cannot be started, or has other functions', async () => {
    const post = vi.spyOn(Worker.prototype, 'postMessage').mockImplementationOnce(() => {
      throw new Error('no thread');
    });
    const both = [1, 2].map((n) => ask(conflictOf(sides(n))));
    for (const one of await Promise.allSettled(both))
      expect(one).toMatchObject({ status: 'rejected', reason: new CageUnavailable('no thread') });
    post.mockRestore();
    const other = thread.ask({ ...threeWay, version: 'three-way 0 {}' }, conflictOf(sides(1)), LONG_ENOUGH);
    await expect(other).rejects.toThrow(CageUnavailable);
    await expect(ask(conflictOf(sides(1)))).resolves.toMatchObject({ kind: 'merge' });
  });

  test('is what was configured, whatever becomes of that', async () => {
    const options = { fields: { '/n': 'max' } };
    const merge = builtIn('three-way', options);
    options.fields['/n'] = 'min';
    const clash = conflictOf({ leaves: ['{"n":3}', '{"n":5}'], bases: '{"n":1}' });
    const merged = await thread.ask(merge, clash, LONG_ENOUGH);
    expect(merged).toMatchObject({ content: { body: '"n":5' } });
  });

  test.each(['just now', 'and under way'])('fails once it is closed: %s', async (when) => {
    if (when === 'and under way') await ask(conflictOf(sides(1)));
    const asked = ask(conflictOf(longSides()));
    // It fails while the thread is being closed: somebody has to look at it by then.
    const refused = expect(asked).rejects.toThrow(CageUnavailable);
    if (when === 'and under way') await new Promise(setImmediate);
    await thread.close();
    await refused;
    await expect(ask(conflictOf(sides(1)))).rejects.toThrow(CageUnavailable);
  });
});

test('A thread that was idle ends, and another takes its place', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    // Other threads of this process may end meanwhile.
    const post = vi.spyOn(Worker.prototype, 'postMessage');
    await ask(conflictOf(sides(1)));
    const worker = post.mock.contexts[0] as Worker;
    post.mockRestore();
    const terminate = vi.spyOn(worker, 'terminate');
    vi.advanceTimersByTime(29_000);
    await ask(conflictOf(sides(2)));
    vi.advanceTimersByTime(29_000);
    expect(vi.getTimerCount()).toBe(1);
    expect(terminate).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1000);
    expect(vi.getTimerCount()).toBe(0);
    expect(terminate).toHaveBeenCalledOnce();
    await expect(terminate.mock.results[0]?.value).resolves.toBe(1);
    expect(await ask(conflictOf(sides(3)))).toMatchObject({ kind: 'merge' });
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
    const content = (body) => ({ body, attachments: new Map() });
    const leaves = [{ rev: '2-b', content: content('"a":1') }, { rev: '2-a', content: content('"a":1') }];
    const conflict = { id: 'one', leaves, deleted: [], tree: [] };
    console.log((await new BuiltInThread().ask(builtIn('three-way'), conflict, 10_000)).kind);
    clearInterval(busy);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  expect(stdout).toBe('merge\n');
});
