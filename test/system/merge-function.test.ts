import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningGateway, startGateway, startProcess, temporaryFolder } from '../support/server.js';
import { Couch } from './support/couch.js';
import { readmeFiles } from './support/readme.js';
import { until } from './support/wait.js';

const root = path.resolve(import.meta.dirname, '../..');

let folder: string;
let gateway: RunningGateway;
let couch: Couch;
let files: Map<string, string>;

beforeAll(async () => {
  folder = await temporaryFolder();
  files = await readmeFiles('Merging conflicts');
  for (const [name, content] of files) await writeFile(path.join(folder, name), content);
  gateway = await startGateway({
    data: path.join(folder, 'data'),
    args: ['--config', path.join(folder, 'causeway.yaml')],
  });
  couch = new Couch(gateway.url, gateway.authorization);
});
afterAll(async () => {
  await couch.close();
  await gateway.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Two clients edit a document at the same time. */
async function clash(db: string, [before, a, b]: readonly object[]): Promise<void> {
  const leaf = (members: object | undefined, ids: readonly string[]): object => ({
    _id: 'one',
    _revisions: { start: ids.length, ids },
    ...members,
  });
  const docs = [leaf(before, ['o']), leaf(a, ['a', 'o']), leaf(b, ['b', 'o'])];
  await couch.post(`/${db}/_bulk_docs`, { docs, new_edits: false });
}

/** The document once it is in no conflict. */
async function merged(db: string): Promise<unknown> {
  let document: unknown;
  await until('it is merged', async () => {
    document = await couch.get(`/${db}/one?conflicts=true`);
    return !('_conflicts' in (document as object));
  });
  return document;
}

test('the merge functions of the README merge, as they stand there', async () => {
  await couch.put('/carts');
  await clash('carts', [{ items: { tea: 1 } }, { items: { tea: 3 } }, { items: { tea: 1, milk: 2 } }]);
  expect(await merged('carts')).toMatchObject({ items: { tea: 3, milk: 2 } });
  await couch.put('/notes');
  await couch.put('/notes/_design/notes', JSON.parse(files.get('notes.json') ?? '') as object);
  await clash('notes', [{ tags: [] }, { tags: ['b', 'c'] }, { tags: ['a', 'b'] }]);
  expect(await merged('notes')).toMatchObject({ tags: ['a', 'b', 'c'] });
});

test('what a function would make of a conflict is shown, and nothing is written', async () => {
  await couch.put('/others');
  await clash('others', [{ items: { tea: 1 } }, { items: { tea: 3 } }, { items: { tea: 1, milk: 2 } }]);
  const preview = async (name: string): Promise<[unknown, unknown]> => {
    const run = startProcess(
      path.join(root, 'scripts/causeway'),
      ['conflicts', 'preview', 'others', '--function', name, '--json', '--url', gateway.url],
      { cwd: folder, env: { CAUSEWAY_PASSWORD: gateway.admin.password } },
    );
    return [await run.ended, JSON.parse(run.stdout || '{}')];
  };
  const doc = { items: { tea: 3, milk: 2 } };
  expect(await preview('./merge.mjs')).toMatchObject([0, { id: 'one', outcome: 'merge', doc }]);
  expect(await preview('three-way')).toMatchObject([0, { id: 'one', outcome: 'merge', doc }]);
  expect(await couch.get('/others/one?conflicts=true')).toHaveProperty('_conflicts');
});
