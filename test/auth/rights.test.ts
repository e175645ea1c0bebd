import { expect, test } from 'vitest';
import { requireRight, type Right } from '../../src/auth/rights.js';
import { parseSecurity } from '../../src/auth/security.js';
import { anonymous, type UserContext } from '../../src/auth/usercontext.js';
import { CouchError } from '../../src/errors.js';

const who = {
  anonymous,
  stranger: { name: 'stranger', roles: [] },
  member: { name: 'member', roles: [] },
  databaseAdmin: { name: 'dba', roles: [] },
  metrics: { name: 'metrics', roles: ['_metrics'] },
  serverAdmin: { name: 'admin', roles: ['_admin'] },
} satisfies Record<string, UserContext>;
type Who = keyof typeof who;

const closed = parseSecurity({
  admins: { names: ['dba'], roles: ['_admin'] },
  members: { names: ['member'], roles: [] },
});
const open = parseSecurity({
  admins: { names: ['dba'], roles: ['_admin'] },
  members: { names: [], roles: [] },
});

function ask(right: Right, user: UserContext, security = closed): string {
  try {
    requireRight(right, user, security);
    return 'ok';
  } catch (thrown) {
    if (!(thrown instanceof CouchError)) throw thrown;
    return `${String(thrown.status)} ${thrown.error}: ${thrown.reason}`;
  }
}

const NOT_AUTHORIZED = '401 unauthorized: You are not authorized to access this db.';
const NOT_ALLOWED = '403 forbidden: You are not allowed to access this db.';
const NOT_AUTHENTICATED = '401 unauthorized: You are not an authenticated user';
const NO_SERVER_ADMIN = '401 unauthorized: You are not a server admin.';
const NO_DB_ADMIN = 'You are not a db or server admin.';
const NO_MAINTAINER = '401 unauthorized: You are not a server or db admin.';
const NO_METRICS = '401 unauthorized: You are not a server admin or read-only metrics user';

/** In a database with members, in the order: anonymous, stranger, member, database admin, metrics, server admin. */
const matrix: Record<Right, Record<Who, string>> = {
  anyone: row('ok', 'ok', 'ok', 'ok', 'ok', 'ok'),
  authenticated: row(NOT_AUTHENTICATED, 'ok', 'ok', 'ok', 'ok', 'ok'),
  member: row(NOT_AUTHORIZED, NOT_ALLOWED, 'ok', 'ok', NOT_ALLOWED, 'ok'),
  lister: row(NOT_AUTHORIZED, NOT_ALLOWED, 'ok', 'ok', NOT_ALLOWED, 'ok'),
  databaseAdmin: row(NOT_AUTHORIZED, NOT_ALLOWED, `403 forbidden: ${NO_DB_ADMIN}`, 'ok', NOT_ALLOWED, 'ok'),
  maintainer: row(NOT_AUTHORIZED, NOT_ALLOWED, NO_MAINTAINER, 'ok', NOT_ALLOWED, 'ok'),
  serverAdmin: row(NO_SERVER_ADMIN, NO_SERVER_ADMIN, NO_SERVER_ADMIN, NO_SERVER_ADMIN, NO_SERVER_ADMIN, 'ok'),
  databases: row(NO_SERVER_ADMIN, NO_SERVER_ADMIN, NO_SERVER_ADMIN, NO_SERVER_ADMIN, NO_SERVER_ADMIN, 'ok'),
  metrics: row(NO_METRICS, NO_METRICS, NO_METRICS, NO_METRICS, 'ok', 'ok'),
};

function row(...answers: [string, string, string, string, string, string]): Record<Who, string> {
  const [anon, stranger, member, databaseAdmin, metrics, serverAdmin] = answers;
  return { anonymous: anon, stranger, member, databaseAdmin, metrics, serverAdmin };
}

const rights = Object.keys(matrix) as Right[];

test.each(rights)('I9: %s', (right) => {
  const answers = Object.fromEntries(Object.entries(who).map(([name, user]) => [name, ask(right, user)]));
  expect(answers).toEqual(matrix[right]);
});

test('a public database gives everybody the rights of a member and no more', () => {
  expect(ask('member', anonymous, open)).toBe('ok');
  expect(ask('member', who.stranger, open)).toBe('ok');
  expect(ask('databaseAdmin', anonymous, open)).toBe(`401 unauthorized: ${NO_DB_ADMIN}`);
  expect(ask('databaseAdmin', who.stranger, open)).toBe(`403 forbidden: ${NO_DB_ADMIN}`);
  expect(ask('maintainer', anonymous, open)).toBe(NO_MAINTAINER);
  expect(ask('maintainer', who.stranger, open)).toBe(NO_MAINTAINER);
  expect(ask('serverAdmin', anonymous, open)).toBe(NO_SERVER_ADMIN);
});

test('without a security object only server admins have rights in a database', () => {
  for (const right of ['member', 'databaseAdmin', 'maintainer'] as const) {
    expect(() => {
      requireRight(right, who.databaseAdmin);
    }).toThrow('You are not allowed');
    expect(() => {
      requireRight(right, who.serverAdmin);
    }).not.toThrow();
  }
});
