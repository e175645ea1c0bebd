import { afterAll, beforeAll, expect, test } from 'vitest';
import { startApp, type TestApp } from '../http/app.js';

let it: TestApp;
beforeAll(async () => {
  it = await startApp();
});
afterAll(() => it.stop());

test('a replicated design document must be one that clients could write, and compile', async () => {
  for (const name of ['source', 'target']) await it.request('PUT', `/${name}`);
  const bodies = {
    broken: '"views":{"v":{"map":"function (doc) { emit("}}',
    odd: '"views":{"v":{"map":5}}',
    fine: '"views":{"v":{"map":"function (doc) { emit(1); }"}}',
  };
  // As an older server could have it.
  await it.databases.use('source', async (db) => {
    const edits = Object.entries(bodies).map(([name, body]) => ({
      id: `_design/${name}`,
      revisions: { start: 1, ids: ['a'.repeat(32)] },
      deleted: false,
      body,
    }));
    for (const result of await db.write(edits, { newEdits: false })) expect(result.ok).toBe(true);
  });
  const { status, body } = await it.request('POST', '/_replicate', {
    json: { source: 'source', target: 'target' },
  });
  expect({ status, body }).toMatchObject({
    status: 200,
    body: { ok: true, history: [{ docs_written: 1, doc_write_failures: 2 }] },
  });
  const { body: shown } = await it.request('GET', '/_gateway/replications');
  const { id } = (shown as { replications: [{ id: string }] }).replications[0];
  const { body: list } = await it.request('GET', `/_gateway/replications/${id}/rejections`);
  expect(list).toMatchObject({
    rejections: [
      { id: '_design/broken', status: 400, error: 'compilation_error' },
      { id: '_design/odd', status: 400, error: 'invalid_design_doc' },
    ],
  });
});
