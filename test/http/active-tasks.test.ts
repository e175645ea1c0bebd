import { expect, onTestFinished, test } from 'vitest';
import { Tasks } from '../../src/observe/tasks.js';
import { startApp } from './app.js';

test('_active_tasks shows what runs, the oldest first, as CouchDB does', async () => {
  const tasks = new Tasks();
  const it = await startApp({}, { tasks });
  onTestFinished(() => it.stop());
  const shown = async (): Promise<unknown> => (await it.request('GET', '/_active_tasks')).body;
  expect(await shown()).toEqual([]);
  const task = tasks.begin({ type: 'database_compaction', database: 'a', progress: 0 });
  const other = tasks.begin({ type: 'database_compaction', database: 'b', progress: 0 });
  task.update({ progress: 50, phase: 'document_copy' });
  const any = expect.any(Number) as number;
  const row = { type: 'database_compaction', node: 'nonode@nohost', started_on: any, updated_on: any };
  expect(await shown()).toEqual([
    { ...row, database: 'a', progress: 50, phase: 'document_copy', pid: '<0.1.0>' },
    { ...row, database: 'b', progress: 0, pid: '<0.2.0>' },
  ]);
  task.end();
  expect(await shown()).toMatchObject([{ database: 'b' }]);
  other.end();
  expect(await shown()).toEqual([]);
});

test('who asks for a compaction sees at once that it runs', async () => {
  const it = await startApp();
  onTestFinished(() => it.stop());
  await it.request('PUT', '/db');
  const docs = Array.from({ length: 2000 }, (_, n) => ({ _id: `d${String(n)}` }));
  await it.request('POST', '/db/_bulk_docs', { json: { docs } });
  const compacted = await it.request('POST', '/db/_compact', { json: {} });
  expect(compacted).toMatchObject({ status: 202, body: { ok: true } });
  await it.databases.use('db', async (db) => {
    await db.compact();
    expect((await db.info()).compactRunning).toBe(false);
  });
  expect((await it.request('POST', '/none/_compact', { json: {} })).status).toBe(404);
});
