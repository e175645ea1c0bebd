import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  defaultSecurity,
  isDatabaseAdmin,
  isMember,
  parseSecurity,
  securityOf,
} from '../../src/auth/security.js';
import { anonymous, isServerAdmin, type UserContext } from '../../src/auth/usercontext.js';
import { CouchError } from '../../src/errors.js';

const user = (name: string, ...roles: string[]): UserContext => ({ name, roles });
const admin = user('root', '_admin');

const LIST = 'must be a JSON list of strings';
test.each<[unknown, string]>([
  [[], 'a security object must be a JSON object'],
  ['x', 'a security object must be a JSON object'],
  [null, 'a security object must be a JSON object'],
  [{ admins: { names: 'bob' } }, `names ${LIST}`],
  [{ admins: { names: null } }, `names ${LIST}`],
  [{ admins: { roles: { boss: true } } }, `roles ${LIST}`],
  [{ members: { roles: [1] } }, `roles ${LIST}`],
  [{ members: { names: [null] } }, `names ${LIST}`],
  [{ readers: { names: [['a']] } }, `names ${LIST}`],
  [{ members: ['bob'] }, `admins or members ${LIST}`],
  [{ members: null, readers: {} }, `admins or members ${LIST}`],
  [{ admins: 'bob' }, `admins or members ${LIST}`],
])('%j is refused', (value, reason) => {
  const refusal = expect.objectContaining({ status: 400, error: 'bad_request', reason }) as unknown;
  expect(() => parseSecurity(value)).toThrow(refusal);
});

test('what CouchDB does not know is let through', () => {
  const value = {
    couchdb_auth_only: true,
    cloudant: { nobody: [] },
    note: 'kept',
    members: { names: ['a'], extra: 1 },
  };
  expect(isMember(user('a'), parseSecurity(value))).toBe(true);
  expect(isMember(user('b'), parseSecurity(value))).toBe(false);
});

describe('members', () => {
  const security = parseSecurity({
    admins: { names: ['boss'], roles: ['bosses'] },
    members: { names: ['jan'], roles: ['team'] },
  });
  test.each<[UserContext, boolean, boolean]>([
    [anonymous, false, false],
    [user('jan'), true, false],
    [user('other', 'x', 'team'), true, false],
    [user('other', 'jan'), false, false],
    [user('team'), false, false],
    [user('boss'), true, true],
    [user('other', 'bosses'), true, true],
    [user('stranger', 'other'), false, false],
    [admin, true, true],
  ])('%j: member %s, admin %s', (who, member, databaseAdmin) => {
    expect(isMember(who, security)).toBe(member);
    expect(isDatabaseAdmin(who, security)).toBe(databaseAdmin);
  });

  test('everybody is one where there are neither names nor roles, and nobody is an admin by that', () => {
    for (const open of [
      {},
      { members: {} },
      { members: { names: [], roles: [] } },
      { admins: { names: ['x'] } },
    ]) {
      expect(isMember(anonymous, parseSecurity(open))).toBe(true);
      expect(isDatabaseAdmin(anonymous, parseSecurity(open))).toBe(false);
      expect(isDatabaseAdmin(user('jan'), parseSecurity(open))).toBe(false);
    }
  });

  test('were once called readers', () => {
    expect(isMember(user('jan'), parseSecurity({ readers: { names: ['jan'] } }))).toBe(true);
    expect(isMember(anonymous, parseSecurity({ readers: { names: ['jan'] } }))).toBe(false);
    expect(isMember(anonymous, parseSecurity({ members: {}, readers: { names: ['jan'] } }))).toBe(true);
  });

  test('of a new database are the server admins', () => {
    expect(isMember(admin, defaultSecurity)).toBe(true);
    expect(isMember(user('jan'), defaultSecurity)).toBe(false);
    expect(isMember(anonymous, defaultSecurity)).toBe(false);
  });
});

describe('a stored text', () => {
  test('is read once', () => {
    const text = '{"members":{"names":["jan"]},"n":1}';
    expect(isMember(user('jan'), securityOf(text))).toBe(true);
    expect(securityOf(text)).toBe(securityOf(text));
  });

  test('gives the object of its own, however many and long they are, and is forgotten behind many', () => {
    const first = securityOf('{}');
    for (let i = 0; i < 2500; i++) {
      const names = [`user${String(i)}`, ...(i % 50 === 0 ? ['x'.repeat(200_000)] : [])];
      expect(securityOf(JSON.stringify({ members: { names } })).members.names).toEqual(new Set(names));
    }
    expect(securityOf('{}')).not.toBe(first);
  });

  test.each(['', '{', '[]', 'null', '{"members":{"names":"jan"}}', '{"admins":{"roles":null}}'])(
    'that is no security object, %j, leaves the database to server admins',
    (text) => {
      const security = securityOf(text);
      expect([isMember(anonymous, security), isMember(user('jan'), security)]).toEqual([false, false]);
      expect([isMember(admin, security), isDatabaseAdmin(admin, security)]).toEqual([true, true]);
    },
  );

  test('I13: __proto__ grants nothing', () => {
    const security = securityOf('{"members":{"names":["jan"]},"__proto__":{"admins":{"names":["eve"]}}}');
    expect(isDatabaseAdmin(user('eve'), security)).toBe(false);
    const inherited = Object.create({ admins: { names: ['eve'] } }) as unknown;
    expect(isDatabaseAdmin(user('eve'), parseSecurity(inherited))).toBe(false);
    const emptied = securityOf('{"members":{"names":["jan"],"__proto__":{"roles":["eve"]}}}');
    expect(isMember(user('x', 'eve'), emptied)).toBe(false);
  });
});

test('any JSON is read or refused with a CouchError, and makes nobody an admin who is not listed', () => {
  const party = fc.record(
    { names: fc.oneof(fc.array(fc.string()), fc.jsonValue()), roles: fc.array(fc.string()) },
    { requiredKeys: [] },
  );
  const value = fc.oneof(
    fc.jsonValue(),
    fc.record({ admins: party, members: fc.oneof(party, fc.jsonValue()) }, { requiredKeys: [] }),
  );
  let read = 0;
  fc.assert(
    fc.property(value, (given) => {
      try {
        const security = parseSecurity(given);
        read++;
        expect(isDatabaseAdmin(anonymous, security)).toBe(false);
        expect(isDatabaseAdmin(user('\u0000unlisted', '\u0000role'), security)).toBe(false);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(CouchError);
        expect(thrown).toMatchObject({ status: 400 });
      }
    }),
    { numRuns: 1000, seed: 3 },
  );
  expect(read).toBeGreaterThan(100);
});

test('a server admin is known by the role, not by the name', () => {
  expect(isServerAdmin(admin)).toBe(true);
  expect(isServerAdmin(user('_admin', 'admin'))).toBe(false);
  expect(isServerAdmin(anonymous)).toBe(false);
});
