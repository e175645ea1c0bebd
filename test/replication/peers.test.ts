import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import { startApp, type TestApp } from '../http/app.js';
import { httpPeer, localPeer } from '../support/peers.js';
import { newFolder, openDatabases } from '../support/store.js';
import { describePeer } from './acceptance.js';

describePeer('a database here', async () => localPeer(await openDatabases(await newFolder()), 'db'));

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

let count = 0;
describePeer('a database behind HTTP', () =>
  Promise.resolve(
    httpPeer(`http://127.0.0.1:${app.port}/db${++count}/`, { headers: { 'x-test-user': 'admin' } }),
  ),
);

describePeer('a database behind HTTP that packs what it sends', () =>
  Promise.resolve(
    httpPeer(`http://127.0.0.1:${app.port}/db${++count}/`, {
      headers: { 'x-test-user': 'admin', 'accept-encoding': 'gzip' },
    }),
  ),
);

const couchdb = process.env.COUCHDB_URL;
if (couchdb !== undefined) {
  describePeer('a database of a CouchDB', () => {
    const { origin, username, password } = new URL(couchdb);
    const headers = { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
    const url = `${origin}/peer-${randomBytes(6).toString('hex')}/`;
    onTestFinished(async () => {
      await fetch(url, { method: 'DELETE', headers });
    });
    return Promise.resolve(httpPeer(url, { headers }));
  });
}
