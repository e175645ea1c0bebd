import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from './app.js';

let it: TestApp;
beforeAll(async () => {
  it = await startApp();
});
afterAll(() => it.stop());

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

const login = (text: string, headers: Record<string, string> = FORM, query = '') =>
  it.request('POST', `/_session${query}`, { as: null, text, headers: { host: 'h', ...headers } });

describe('logging in', () => {
  test('sets a cookie, or takes it away', async () => {
    const yes = await login('name=a%20b&password=right');
    expect(yes).toMatchObject({ status: 200, body: { ok: true, name: 'a b', roles: [] } });
    expect(yes.headers['set-cookie']).toEqual(['AuthSession=yes']);
    const no = await login('name=a&password=wrong');
    expect(no).toMatchObject({ status: 401, body: { error: 'unauthorized' } });
    expect(no.headers['set-cookie']).toEqual(['AuthSession=']);
    expect((await it.request('DELETE', '/_session')).headers['set-cookie']).toEqual(['AuthSession=']);
  });

  test('sends a browser on to pages of this server only', async () => {
    const next = async (path: string) =>
      (await login('name=a&password=right', FORM, `?next=${encodeURIComponent(path)}`)).headers.location;
    expect(await next('/a b?c=d')).toBe('http://h/a%20b?c=d');
    expect(await next('//evil.example/')).toBe('http://h//evil.example/');
    expect(await next('/a\r\nSet-Cookie: x')).toBe('http://h/a%0D%0ASet-Cookie:%20x');
    expect(await next('https://evil.example/')).toBeUndefined();
    const failed = await login('name=a&password=wrong', FORM, '?next=/a&fail=/b');
    expect(failed).toMatchObject({ status: 302, headers: { location: 'http://h/b' } });
  });

  test.each([
    ['{"name":"a","password":5}', 400],
    ['{"name":{},"password":"x"}', 400],
    ['[]', 400],
    ['null', 400],
    ['{"username":"a","password":"right"}', 200],
    ['{"name":"b","username":"a","password":"right"}', 400],
  ])('with %s is answered %i', async (text, status) => {
    expect((await login(text, { 'content-type': 'application/json' })).status).toBe(status);
  });
});

test('who asks is told who they are, and to log in where they insist', async () => {
  expect((await it.request('GET', '/_session', { as: 'member' })).body).toMatchObject({
    userCtx: { name: 'member' },
  });
  expect((await it.request('GET', '/_session?basic=true', { as: null })).body).toMatchObject({
    reason: 'Please login.',
  });
});
