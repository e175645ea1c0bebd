import { connect } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Info } from './support/couch.js';
import { Client } from './support/kill-load.js';
import { Restartable } from './support/restartable.js';
import { inParallel, until } from './support/wait.js';

let gateway: Restartable;

beforeEach(async () => {
  gateway = await Restartable.start();
  await gateway.couch.put('/db');
});
afterEach(async () => {
  await gateway.remove();
});

it('SIGTERM under load: what was begun is finished and answered, and nothing of it is lost', async () => {
  const clients = Array.from(
    { length: 8 },
    (_, n) => new Client(gateway.couch, 'db', `client${String(n)}`, n),
  );
  let answered = 0;
  let stopped: Promise<void> | undefined;
  await Promise.all(
    clients.map((client) =>
      client.run(() => {
        answered += 1;
        if (answered === 200) stopped ??= gateway.stop();
      }),
    ),
  );
  await stopped;
  // Nobody had to be cut off.
  expect(gateway.program.stderr).not.toContain('did not end');
  await gateway.start();
  const documents = clients.flatMap((client) => [...client.documents]);
  expect(documents.length).toBeGreaterThan(100);
  const lost = await inParallel(documents, 16, async ([id, { acknowledged }]) => {
    const living = acknowledged.filter(({ deleted }) => !deleted);
    const { status } = await gateway.couch.request('GET', `/db/${id}`);
    return living.length > 0 && status !== 200 ? [id] : [];
  });
  expect(lost.flat()).toEqual([]);
});

it('SIGTERM while a body is still to come: it is awaited, stored and answered', async () => {
  const docs = Array.from({ length: 2000 }, (_, n) => ({ _id: `d${String(n)}`, text: 'x'.repeat(1000) }));
  const body = JSON.stringify({ docs });
  const socket = connect(gateway.port, '127.0.0.1');
  let answer = '';
  socket.setEncoding('utf8').on('data', (text: string) => (answer += text));
  const head = [
    'POST /db/_bulk_docs HTTP/1.1',
    'Host: localhost',
    `Authorization: ${gateway.authorization}`,
    'Content-Type: application/json',
    `Content-Length: ${String(body.length)}`,
    'Expect: 100-continue',
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  // Sent once the request has begun for the server.
  await until('the server wants the body', () => answer.startsWith('HTTP/1.1 100'));
  const stopped = gateway.stop();
  await gateway.program.printed('stderr', /"stopping"/);
  socket.write(body);
  await until('the answer', () => answer.includes('HTTP/1.1 201'));
  await stopped;
  // Nobody had to be cut off.
  expect(gateway.program.stderr).not.toContain('did not end');
  await gateway.start();
  expect(await gateway.couch.get('/db')).toMatchObject({ doc_count: 2000 } satisfies Partial<Info>);
});

it('SIGTERM while a view builds: functions that do not come to an end are not awaited', async () => {
  const { couch } = gateway;
  await couch.put('/_node/_local/_config/couchdb/os_process_timeout', '600000');
  await couch.put('/db/doc', {});
  await couch.put('/db/_design/endless', { views: { rows: { map: 'function () { for (;;); }' } } });
  await couch.get('/db/_design/endless/_view/rows?update=lazy');
  expect(await couch.get('/_active_tasks')).toMatchObject([{ type: 'indexer' }]);
  await gateway.stop();
});
