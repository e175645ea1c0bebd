import { afterAll, beforeAll, expect, test } from 'vitest';
import { completedState, failedState, NO_STATE, writeState } from '../../src/replicator/states.js';
import { startApp, type TestApp } from '../http/app.js';

let it: TestApp;
beforeAll(async () => {
  it = await startApp();
  await it.request('PUT', '/db');
});
afterAll(() => it.stop());

const place = (id: string) => ({ database: 'db', id });
const read = async (id: string) => (await it.request('GET', `/db/${id}`)).body as Record<string, unknown>;
const always = () => true;

test('a state is written into its document, and taken away again', async () => {
  const attached = { 'a.txt': { content_type: 'text/plain', data: 'aGk=' } };
  await it.request('PUT', '/db/one', { json: { source: 'x', _attachments: attached } });
  await writeState(it.databases, place('one'), failedState('because'), always);
  const failed = await read('one');
  expect(failed).toMatchObject({
    source: 'x',
    _replication_state: 'failed',
    _replication_state_reason: 'because',
    _replication_state_time: expect.stringMatching(/^[0-9-]{10}T[0-9:]{8}Z$/) as string,
    _attachments: { 'a.txt': { stub: true } },
  });
  await writeState(it.databases, place('one'), failedState('because'), always);
  expect(await read('one')).toEqual(failed);
  await writeState(it.databases, place('one'), completedState({ docs_written: 1 }), always);
  const completed = await read('one');
  expect(completed).toMatchObject({
    _replication_state: 'completed',
    _replication_stats: { docs_written: 1 },
  });
  expect(completed).not.toHaveProperty('_replication_state_reason');
  await writeState(it.databases, place('one'), NO_STATE, always);
  expect(Object.keys(await read('one'))).toEqual(['_id', '_rev', 'source', '_attachments']);
});

test('nothing is written into a document that says something else meanwhile, or is gone', async () => {
  await it.request('PUT', '/db/two', { json: { source: 'new' } });
  await writeState(it.databases, place('two'), completedState({}), ({ source }) => source === 'old');
  expect(await read('two')).not.toHaveProperty('_replication_state');
  await writeState(it.databases, place('three'), completedState({}), always);
  expect(await read('three')).toMatchObject({ error: 'not_found' });
});

test('whoever writes at the same time loses nothing', async () => {
  await it.request('PUT', '/db/four', { json: { source: 'x' } });
  const states = ['a', 'b', 'c', 'd'].map((reason) =>
    writeState(it.databases, place('four'), failedState(reason), always),
  );
  await Promise.all(states);
  expect(String((await read('four'))._rev)).toMatch(/^5-/);
});
