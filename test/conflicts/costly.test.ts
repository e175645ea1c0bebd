import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { ModuleProcess } from '../../src/conflicts/sources/module-process.js';
import { parseState } from '../../src/conflicts/states.js';
import type { Database } from '../../src/store/types/database.js';
import { startGateway as startProgram, temporaryFolder } from '../support/server.js';
import { body, newFolder, put, replicate } from '../support/store.js';
import { Couch } from '../system/support/couch.js';
import { until } from '../system/support/wait.js';
import { type Gateway, NAME, startGateway } from './support/gateways.js';

afterEach(() => {
  vi.useRealTimers();
});

/** Of a document that two clients edited at the same time. */
const leavesOf = (_id: string, members: object = {}): object[] => [
  { _id, _revisions: { start: 1, ids: ['o'] }, n: 0 },
  { _id, _revisions: { start: 2, ids: ['a', 'o'] }, n: 1, ...members },
  { _id, _revisions: { start: 2, ids: ['b', 'o'] }, n: 2, ...members },
];

/** Whether a process runs; one that has ended may wait for somebody to ask how. */
async function runs(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z');
  return !/\) [ZX]/.test(stat);
}

test('while a function never ends, other conflicts are merged, and its process outlives no server', async () => {
  const folder = await temporaryFolder();
  const note = path.join(folder, 'pid');
  await writeFile(
    path.join(folder, 'merge.mjs'),
    `import { writeFileSync } from 'node:fs';
     import { pid } from 'node:process';
     export default ({ leaves }) => {
       if (leaves[0].doc.loops !== true) return { pick: leaves[0].rev };
       writeFileSync(${JSON.stringify(note)}, String(pid));
       for (;;);
     };`,
  );
  const databases = [
    { match: 'looping', mode: 'local', merge: { module: path.join(folder, 'merge.mjs') } },
    { match: '*', mode: 'local', merge: { function: 'three-way', fields: { '/n': 'counter' } } },
  ];
  const env = { CAUSEWAY_DATABASES: JSON.stringify(databases), CAUSEWAY_CONFLICTS_TIMEOUT: '600000' };
  const data = path.join(folder, 'data');
  const pids: number[] = [];
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const gateway = await startProgram({ data, env });
    const couch = new Couch(gateway.url, gateway.authorization);
    const clash = async (name: string, docs: readonly object[]): Promise<void> => {
      await couch.request('PUT', `/${name}`);
      await couch.post(`/${name}/_bulk_docs`, { docs, new_edits: false });
    };
    await clash('looping', leavesOf('a', { loops: true }));
    const pid = await until('the function to be asked', async () => {
      const its = Number(await readFile(note, 'utf8').catch(() => ''));
      return !pids.includes(its) && its > 0 && its;
    });
    pids.push(pid);
    await clash('others', leavesOf(signal));
    await until('the others to be merged', async () => {
      const document = (await couch.get(`/others/${signal}?conflicts=true`)) as object;
      return !('_conflicts' in document) && document;
    });
    expect(await runs(pid)).toBe(true);
    expect(await couch.get('/looping/a?conflicts=true')).toHaveProperty('_conflicts', ['2-a']);
    await couch.close();
    if (signal === 'SIGTERM') expect(await gateway.stop()).toBe(0);
    else await gateway.kill();
    await until('its process to end', async () => !(await runs(pid)));
  }
});

test('a process that nobody asks for half a minute ends, and another one answers the next question', async () => {
  const file = path.join(await newFolder(), 'merge.mjs');
  await writeFile(file, `import { pid } from 'node:process'; export default () => ({ defer: String(pid) });`);
  const cage = new ModuleProcess({ file, limits: { timeout: 600_000 }, onLog: () => undefined });
  onTestFinished(() => cage.close());
  const ask = async (): Promise<number> =>
    Number((JSON.parse(await cage.ask('{}')) as { defer: string }).defer);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const first = await ask();
  for (let n = 0; n < 2; n++) {
    vi.advanceTimersByTime(29_000);
    expect(await ask()).toBe(first);
  }
  vi.advanceTimersByTime(30_000);
  const second = await ask();
  expect(second).not.toBe(first);
  vi.useRealTimers();
  await until('the first one to be gone', async () => !(await runs(first)));
  expect(await runs(second)).toBe(true);
});

/** A gateway with a function that does what the engine does where its memory is used up, for documents that say so. */
async function startGreedy(): Promise<Gateway> {
  const gateway = await startGateway({ design: 'd/m' });
  const text = `({ leaves }) => {
    if (leaves[0].doc.greedy) throw null;
    return { pick: leaves[1].rev };
  }`;
  await use(gateway, (db) => put(db, { _id: '_design/d', merges: { m: text } }));
  return gateway;
}

const use = <T>({ databases }: Gateway, work: (db: Database) => T | Promise<T>): Promise<T> =>
  databases.use(NAME, work);

/** Conflicts of documents of these names, all at once; waits until nothing more is to be done about them. */
async function decided(gateway: Gateway, ids: readonly string[], members: object = {}): Promise<void> {
  const docs = ids.flatMap((id) => leavesOf(id, members));
  await use(gateway, async (db) => {
    await replicate(db, ...docs);
    await until('all to be decided', () =>
      ids.every((id) => {
        const row = db.conflicts.get(id);
        return row === undefined || parseState(row.state) !== undefined;
      }),
    );
  });
}

const named = (name: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, n) => `${name}${n}`);

const reasons = (gateway: Gateway, ids: readonly string[]): Promise<readonly unknown[]> =>
  use(gateway, (db) => ids.map((id) => parseState(db.conflicts.get(id)?.state)?.reason));

const TOO_OFTEN = 'it took too much time or memory again and again';

test('a function that takes too much again and again is asked no more', async () => {
  const gateway = await startGreedy();
  await decided(gateway, named('greedy', 11), { greedy: true });
  expect(gateway.mergeFunctions.refusals(NAME)).toEqual([]);
  await decided(gateway, ['a']);
  expect(await use(gateway, (db) => body(db, 'a'))).toMatchObject({ n: 1 });
  await decided(gateway, ['last'], { greedy: true });
  expect(gateway.mergeFunctions.refusals(NAME)).toMatchObject([{ reason: TOO_OFTEN }]);
  await decided(gateway, ['b']);
  expect(await reasons(gateway, ['b'])).toEqual([expect.stringContaining(TOO_OFTEN)]);
});

test('a function that takes too much once in a while is asked on, about many at once with no warning', async () => {
  const warnings: string[] = [];
  const note = ({ name }: Error): void => void warnings.push(name);
  process.on('warning', note);
  onTestFinished(() => void process.off('warning', note));
  const gateway = await startGreedy();
  await decided(gateway, named('fine', 50));
  await decided(gateway, named('greedy', 15), { greedy: true });
  expect(gateway.mergeFunctions.refusals(NAME)).toEqual([]);
  await decided(gateway, ['a']);
  expect(await reasons(gateway, ['a'])).toEqual([undefined]);
  expect(warnings).not.toContain('MaxListenersExceededWarning');
});
