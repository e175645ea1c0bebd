import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseSecurity } from '../../../src/auth/security.js';
import { authDesign } from '../../../src/auth/users/auth-design.js';
import { type Members, refuseUser } from '../../../src/auth/users/rules.js';
import type { UserContext } from '../../../src/auth/usercontext.js';

type Json = Record<string, unknown>;

const membersOf = (document: Json): Members => new Map(Object.entries(document));

function judge(
  document: Json,
  before: Json | undefined,
  user: UserContext,
  security: Json,
): string | undefined {
  const { _id: id, _deleted: deleted, ...members } = document;
  const write = {
    id: String(id),
    deleted: deleted === true,
    members: membersOf(members),
    before: before && membersOf(before),
  };
  return refuseUser(write, user, parseSecurity(security))?.reason;
}

/** What the function of the design document says, which a CouchDB would run. */
const inDesign = runInNewContext(`(${authDesign.validate_doc_update})`) as (...given: unknown[]) => void;

function judgeByDesign(
  document: Json,
  before: Json | undefined,
  user: UserContext,
  security: Json,
): string | undefined {
  try {
    // Arrays of another context are no arrays for `instanceof`, and none of ours for the function.
    inDesign(...(JSON.parse(JSON.stringify([document, before ?? null, user, security])) as unknown[]));
    return undefined;
  } catch (thrown) {
    return (thrown as { forbidden: string }).forbidden;
  }
}

const name = fc.constantFrom<unknown>('bob', 'eve', '_bob', 'a:b', '', 5, null, '__proto__', 'Bob');
const role = fc.constantFrom<unknown>('dev', 'boss', '_admin', '_metrics', '_x', '', 5);
const roles = fc.oneof(
  fc.array(role, { maxLength: 3 }),
  fc.constantFrom<unknown>(undefined, null, 'dev', {}, 0, true),
);
const scheme = fc.constantFrom<unknown>(undefined, 'simple', 'pbkdf2', 'simple+pbkdf2', 'md5', {}, 0);
const document = fc
  .record(
    {
      name,
      roles,
      type: fc.constantFrom<unknown>('user', 'user', 'user', 'person', null),
      password_scheme: scheme,
      iterations: fc.constantFrom<unknown>(10, '10'),
      derived_key: fc.constantFrom<unknown>('ab', 1),
      password_sha: fc.constantFrom<unknown>('ab', ''),
      salt: fc.constantFrom<unknown>('cd', ''),
      ['__proto__']: fc.constant({ roles: ['_admin'] }),
    },
    { requiredKeys: ['name', 'roles', 'type'] },
  )
  .map((members) => JSON.parse(JSON.stringify(members)) as Json);
const id = fc.constantFrom('org.couchdb.user:bob', 'org.couchdb.user:_bob', 'org.couchdb.user:a:b', 'bob');
const before = fc.option(
  fc.record({ name: fc.constantFrom('bob', 'eve'), roles, type: fc.constant('user') }),
  {
    nil: undefined,
  },
);
const user = fc.record({
  name: fc.constantFrom(null, 'bob', 'eve'),
  roles: fc.subarray(['_admin', 'dev', 'boss', '_metrics']),
});
const security = fc.constantFrom<Json>(
  {},
  { admins: { roles: ['boss'] } },
  { admins: { names: ['eve'] }, members: { names: ['bob'] } },
);

test('the rules are those of the function in _design/_auth', () => {
  const seen = new Set<string | undefined>();
  fc.assert(
    fc.property(document, id, fc.boolean(), before, user, security, (given, _id, gone, old, who, secured) => {
      const whole = { ...given, _id, ...(gone && { _deleted: true }) };
      const own = judge(whole, old, who, secured);
      seen.add(own);
      expect(own).toBe(judgeByDesign(whole, old, who, secured));
    }),
    { numRuns: 5000, seed: 7 },
  );
  // Every rule was asked.
  expect(seen.size).toBeGreaterThan(14);
});

const ADMIN: UserContext = { name: 'admin', roles: ['_admin'] };
const NOBODY: UserContext = { name: null, roles: [] };
const bob = (more: Json = {}): Json => ({
  _id: 'org.couchdb.user:bob',
  name: 'bob',
  type: 'user',
  roles: [],
  ...more,
});

describe('a user document', () => {
  test.each<[string, Json, string]>([
    ['of another type', { type: 'person' }, 'doc.type must be user'],
    ['without a type', { type: undefined }, 'doc.type must be user'],
    ['without a name', { name: undefined }, 'doc.name is required'],
    ['without roles', { roles: null }, 'doc.roles must exist'],
    ['with roles that are no list', { roles: 'dev' }, 'doc.roles must be an array'],
    ['with a role that is no text', { roles: ['dev', 1] }, 'doc.roles can only contain strings'],
    ['of another name', { name: 'eve' }, 'Doc ID must be of the form org.couchdb.user:name'],
    [
      'with a system role',
      { roles: ['dev', '_admin'] },
      'No system roles (starting with underscore) in users db.',
    ],
    ['with a scheme of its own', { password_scheme: 'md5' }, 'Password scheme `md5` not supported.'],
    ['without iterations', { password_scheme: 'pbkdf2', derived_key: 'a' }, 'iterations must be a number.'],
    ['without a key', { password_scheme: 'pbkdf2', iterations: 1 }, 'derived_key must be a string.'],
  ])('%s is refused, to admins too', (_what, more, reason) => {
    expect(judge(bob(more), undefined, ADMIN, {})).toBe(reason);
  });

  test('may have the role of those who watch the server, if an admin gives it', () => {
    expect(judge(bob({ roles: ['_metrics'] }), undefined, ADMIN, {})).toBeUndefined();
    expect(judge(bob({ roles: ['_metrics'] }), undefined, NOBODY, {})).toBe('Only _admin may set roles');
  });

  test('keeps its roles when its user changes it, in any order', () => {
    const self: UserContext = { name: 'bob', roles: ['dev', 'ops'] };
    const old = bob({ roles: ['dev', 'ops'] });
    expect(judge(bob({ roles: ['ops', 'dev'] }), old, self, {})).toBeUndefined();
    for (const roles of [['dev'], ['dev', 'dev'], ['dev', 'ops', 'x'], [], ['dev', '_admin']])
      expect(judge(bob({ roles }), old, self, {})).toBe('Only _admin may edit roles');
  });

  test('is deleted by its user or an admin', () => {
    const gone = { _id: 'org.couchdb.user:bob', _deleted: true };
    const reason = 'Only admins may delete other user docs.';
    expect(judge(gone, bob(), { name: 'bob', roles: [] }, {})).toBeUndefined();
    expect(judge(gone, bob(), ADMIN, {})).toBeUndefined();
    expect(judge(gone, bob(), { name: 'eve', roles: [] }, {})).toBe(reason);
    expect(judge(gone, bob(), NOBODY, {})).toBe(reason);
    expect(judge(gone, undefined, NOBODY, {})).toBe(reason);
    expect(judge(gone, bob({ name: undefined }), NOBODY, {})).toBe(reason);
  });
});
