import { afterAll, beforeAll, expect, it } from 'vitest';
import { live, PouchDB, remotePouch } from './support/pouch.js';
import { Restartable } from './support/restartable.js';
import { until } from './support/wait.js';

let server: Restartable;
beforeAll(async () => {
  server = await Restartable.start();
});
afterAll(() => server.remove());

it('PouchDB hears of documents that are refused, and goes on with the others', async () => {
  await server.couch.put('/db');
  await server.couch.put('/db/_design/rule', {
    validate_doc_update: 'function (n) { if (n.bad) throw({ forbidden: "no " + n._id }); }',
  });
  const local = new PouchDB('denied', { adapter: 'memory' });
  const denied: unknown[] = [];
  const sync = local.sync(remotePouch(`${server.url}/db`, server.auth), live);
  void sync.on('denied', (one: unknown) => denied.push(one));
  try {
    const docs = Array.from({ length: 300 }, (_, at) => ({ _id: `d${String(at)}`, bad: at % 100 === 50 }));
    await local.bulkDocs(docs);
    await local.put({ _id: 'last' });
    const count = async (): Promise<number> =>
      ((await server.couch.get('/db')) as { doc_count: number }).doc_count;
    await until('all that is good has arrived', async () => (await count()) === 299);
    await until('all that is refused is told', () => Promise.resolve(denied.length === 3));
    expect(denied).toEqual(
      ['d50', 'd150', 'd250'].map((id) => ({
        direction: 'push',
        doc: expect.objectContaining({ id, name: 'forbidden', message: `no ${id}` }) as unknown,
      })),
    );
    expect((await server.couch.request('GET', '/db/d50')).status).toBe(404);
    // One that is put right is let in.
    const { _rev = '' } = await local.get('d50');
    await local.put({ _id: 'd50', _rev, bad: false });
    await until('it has arrived', async () => (await count()) === 300);
  } finally {
    sync.cancel();
    await local.destroy();
  }
});
