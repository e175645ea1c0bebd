import { expect, test } from 'vitest';
import { defaultSecurity, parseSecurity } from '../../src/auth/security.js';
import { CouchError } from '../../src/errors.js';
import { Directory } from '../../src/upstream/directory.js';

const { signal } = new AbortController();
const OPEN = { members: { names: ['ann'] } };

/** What is said of a database whose security object is refused so many times. */
function refusing(error: CouchError, times: number): { directory: Directory; asked: () => number } {
  let asked = 0;
  const ask = (): Promise<unknown> => (++asked <= times ? Promise.reject(error) : Promise.resolve(OPEN));
  return { directory: new Directory(ask, signal), asked: () => asked };
}

test.each([
  [401, 'unauthorized'],
  [403, 'forbidden'],
])('a %i for a security object shuts nobody out where it comes once', async (status, error) => {
  const { directory } = refusing(new CouchError(status, error, ''), 1);
  expect(await directory.securityOf('a')).toEqual(parseSecurity(OPEN));
});

test('a database whose security object is refused is for server admins, which is found out at once from then on', async () => {
  const { directory, asked } = refusing(new CouchError(403, 'forbidden', ''), Infinity);
  expect(await directory.securityOf('a')).toEqual(defaultSecurity);
  const before = asked();
  directory.forget('a');
  expect(await directory.securityOf('a')).toEqual(defaultSecurity);
  expect(asked()).toBe(before + 1);
});

test.each([
  [429, 'too_many_requests'],
  [404, 'http_404'],
])('a %i (%s) for a security object says nothing of who may do what', async (status, error) => {
  const { directory } = refusing(new CouchError(status, error, '', undefined, 2), 1);
  await expect(directory.securityOf('a')).rejects.toMatchObject({ status: 503, retryAfter: 2 });
  expect(await directory.securityOf('a')).toEqual(parseSecurity(OPEN));
});

test('a database that is missing is told to be', async () => {
  const { directory } = refusing(new CouchError(404, 'not_found', 'no_db_file'), Infinity);
  await expect(directory.securityOf('a')).rejects.toMatchObject({ status: 404, error: 'not_found' });
});
