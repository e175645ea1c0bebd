import { afterAll, beforeAll, describe } from 'vitest';
import { startApp, type TestApp } from '../../http/app.js';
import type { Upstream } from './flows.js';

/** A CouchDB with the name and password of an admin, `http://admin:secret@127.0.0.1:5984`. */
const { COUCHDB_URL } = process.env;

/** The same tests with another server of ours upstream, and with a CouchDB where there is one. */
export function withUpstreams(what: string, tests: (upstream: () => Upstream) => void): void {
  describe(what, () => {
    let app: TestApp;
    beforeAll(async () => {
      app = await startApp();
    });
    afterAll(() => app.stop());
    tests(() => ({ origin: `http://127.0.0.1:${String(app.port)}`, headers: { 'x-test-user': 'admin' } }));
  });
  describe.skipIf(COUCHDB_URL === undefined)(`${what}, a CouchDB upstream (needs COUCHDB_URL)`, () => {
    const { origin, username, password } = new URL(COUCHDB_URL ?? 'http://nobody:nothing@127.0.0.1');
    const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    tests(() => ({ origin, headers: { authorization } }));
  });
}
