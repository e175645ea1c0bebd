import { readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { routeTable, type Route } from '../../src/http/app.js';
import { startApp } from '../http/app.js';
import { askEverybody, KINDS, type Answers } from './route-rights.js';
import { startUsers } from './users/gateway.js';

/** What a CouchDB 3.5.0 answered; `COUCHDB_URL=… npx vitest run test/auth/route-rights.test.ts -u` asks it anew. */
const FILE = path.join(import.meta.dirname, 'rights-of-couchdb.json');

/** A CouchDB with the name and password of an admin, `http://admin:secret@127.0.0.1:5984`. */
const { COUCHDB_URL } = process.env;

/** Where the answer to those who have no right is another one than CouchDB's, and why. */
const DIFFERENCES: readonly (readonly [route: RegExp, why: string])[] = [
  [/^GET \/_replicate$/, 'CouchDB says that there is no body, whoever asks'],
  [/^PUT \/:db\/_(security|revs_limit)$/, 'CouchDB fails with 500 for members'],
  [
    /\/_users\/_(purged_infos_limit|purge|sync_shards|design_docs|local_docs|design\/:name\/_list\/.*_all_docs)\b/,
    'of `_users` they are for server admins whatever its security object says, so 401 comes before 403',
  ],
];

let routes: readonly Route[];
beforeAll(async () => {
  const app = await startApp();
  // What is ours CouchDB does not have.
  routes = routeTable(app.app).filter(({ path: route }) => !/^\/_gateway(\/|$)/.test(route));
  await app.stop();
});

test('every route lets in whom CouchDB lets in, and refuses others as it does', async () => {
  const couchdb = JSON.parse(readFileSync(FILE, 'utf8')) as Answers;
  const it = await startUsers();
  try {
    const answers = await askEverybody({ url: it.gateway.url, admin: 'admin:secret' }, routes);
    expect(Object.keys(answers)).toEqual(Object.keys(couchdb));
    for (const [route, statuses] of Object.entries(answers)) {
      const [ours, theirs] = [judged(statuses), judged(couchdb[route] ?? '')];
      const isNamed = DIFFERENCES.some(([pattern]) => pattern.test(route));
      if (isNamed) expect({ route, ...ours }).not.toEqual({ route, ...theirs });
      else expect({ route, ...ours }).toEqual({ route, ...theirs });
      expect(lettingIn(theirs), route).toEqual(expect.arrayContaining([...lettingIn(ours)]));
    }
  } finally {
    await it.stop();
  }
}, 60_000);

type Judgements = Readonly<Record<string, string>>;

/** What each kind of user is told of their rights. */
function judged(statuses: string): Judgements {
  const each = statuses.split(' ').map((status) => (/^(401|403)$/.test(status) ? status : 'let in'));
  return Object.fromEntries(KINDS.map((kind, at) => [kind, each[at] ?? '']));
}

const lettingIn = (judgements: Judgements): readonly string[] =>
  KINDS.filter((kind) => judgements[kind] === 'let in');

test.skipIf(COUCHDB_URL === undefined)(
  'the table is what CouchDB answers (needs COUCHDB_URL)',
  async () => {
    const { origin, username, password } = new URL(COUCHDB_URL ?? '');
    const answers = await askEverybody({ url: origin, admin: `${username}:${password}` }, routes);
    await expect(`${JSON.stringify(answers, undefined, 2)}\n`).toMatchFileSnapshot(FILE);
  },
  300_000,
);
