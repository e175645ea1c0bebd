import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type Cage, CageUnavailable } from '../../src/conflicts/sources/cage.js';
import { designCages } from '../../src/conflicts/sources/design-cage.js';
import { ForeignFunction } from '../../src/conflicts/sources/foreign-function.js';
import { generatedConflicts } from '../../src/conflicts/sources/generated.js';
import { ModuleProcess } from '../../src/conflicts/sources/module-process.js';
import { QuickJsSandbox } from '../../src/design/sandbox.js';
import { IDLE, newFolder, openDatabases, put } from '../support/store.js';

const [conflict] = generatedConflicts();

/** Opens processes that run a module. */
async function moduleCages(text: string): Promise<() => Cage> {
  const file = path.join(await newFolder(), 'merge.mjs');
  await writeFile(file, text);
  return () => new ModuleProcess({ file, limits: { timeout: 600_000 }, onLog: () => undefined });
}

/** Opens places in the sandbox that run a function of a design document. */
async function sandboxCages(text: string): Promise<() => Cage> {
  const databases = await openDatabases(await newFolder());
  const limits = { timeout: 600_000, memory: 1 << 24, maxOutput: 1 << 20, maxKept: 8, slowThreads: 1 };
  const sandbox = new QuickJsSandbox(limits, IDLE.log);
  onTestFinished(() => sandbox.close());
  await databases.create('db');
  return databases.use('db', async (db) => {
    await put(db, { _id: '_design/d', merges: { m: text } });
    return designCages(sandbox, db, { id: '_design/d', name: 'm' });
  });
}

const LOOPS = '() => { for (;;); }';

test.each<[string, () => Promise<() => Cage>]>([
  ['module', () => moduleCages(`export default ${LOOPS};`)],
  ['design document', () => sandboxCages(LOOPS)],
])(
  'a function of a %s ends with what it does, and begins nothing, once it is closed',
  async (_where, make) => {
    if (conflict === undefined) throw new Error('there is no conflict');
    const cages = await make();
    const open = vi.fn(cages);
    const foreign = new ForeignFunction({ open, onRefused: () => undefined });
    const asked = foreign.ask('db', conflict);
    await vi.waitFor(() => expect(open).toHaveBeenCalled());
    foreign.close();
    await expect(asked).rejects.toThrow(CageUnavailable);
    await expect(foreign.ask('db', conflict)).rejects.toThrow(CageUnavailable);
    expect(open).toHaveBeenCalledOnce();
  },
);

test('a module goes on where everybody in a terminal or a service is told to end: its server ends it', async () => {
  const signals = "['SIGINT', 'SIGTERM', 'SIGHUP']";
  const open = await moduleCages(`import { kill, pid } from 'node:process';
    export default () => { for (const signal of ${signals}) kill(pid, signal); return { defer: 'later' }; }`);
  const cage = open();
  onTestFinished(() => cage.close());
  expect(await cage.ask('{}')).toBe('{"defer":"later"}');
});

test('a module that cannot be read is said to be so without telling where it is', async () => {
  const open = await moduleCages("import './missing.mjs'; export default () => ({ delete: true });");
  const cage = open();
  onTestFinished(() => cage.close());
  await expect(cage.ask('{}')).rejects.toThrow(/^Error: the module.* cannot be read: ERR_MODULE_NOT_FOUND$/);
});
