import { rm } from 'node:fs/promises';
import type { Browser, BrowserContext } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/server.js';
import { hasBrowser, launchChromium, launchProfile, servePage, Tab } from './support/chromium.js';
import type { Site } from './support/site.js';
import { startProxy } from './support/proxy.js';
import { Restartable } from './support/restartable.js';
import { until } from './support/wait.js';

const CONFIG = '/_node/_local/_config';
/** Seconds until a session ends that is not used. */
const TIMEOUT = 6;

const headersFor = (form: string | undefined): Record<string, string> => ({
  accept: 'application/json',
  'content-type': form === undefined ? 'application/json' : 'application/x-www-form-urlencoded;charset=UTF-8',
});

describe.runIf(await hasBrowser())('accounts in Chromium, from a page of another origin', () => {
  let browser: Browser;
  let site: Site;
  let gateway: Restartable;
  let tab: Tab;

  beforeAll(async () => {
    site = await servePage();
    gateway = await Restartable.start({
      args: ['--cors', site.origin, '--cors', elsewhere(), '--users-security-editable', 'true'],
      env: { CAUSEWAY_PASSWORDS_ITERATIONS: '1000' },
    });
    const open = { members: { names: [], roles: [] }, admins: { roles: ['_admin'] } };
    await gateway.couch.put('/_users/_security', open);
    await gateway.couch.put('/notes');
    await gateway.couch.put('/notes/_security', {
      members: { names: ['ann'] },
      admins: { roles: ['_admin'] },
    });
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser.close();
    await gateway.remove();
    await site.close();
  });
  beforeEach(async () => {
    tab = await Tab.open(await browser.newContext(), site);
  });

  /** The same page under a name that browsers take for another site. */
  const elsewhere = (): string => site.origin.replace('127.0.0.1', 'localhost');
  const notes = (): string => `${gateway.url}/notes`;
  const whoAmI = async (url = notes()): Promise<unknown> =>
    ((await tab.call('authenticate', url, 'getSession')) as { userCtx: unknown }).userCtx;
  const NOBODY = { name: null, roles: [] };

  const logIn = async (url: string): Promise<void> => {
    const { username, password } = gateway.auth;
    const answer = await tab.call('authenticate', `${url}/notes`, 'logIn', username, password);
    expect(answer).toMatchObject({ ok: true });
  };
  const cookie = async (): Promise<string> => {
    const all = await tab.page.context().cookies(gateway.url);
    return all.find(({ name }) => name === 'AuthSession')?.value ?? '';
  };
  /** Whose cookie the server takes this one for. */
  const nameOf = async (value: string): Promise<string | null> => {
    const answer = await fetch(`${gateway.url}/_session`, { headers: { cookie: `AuthSession=${value}` } });
    return ((await answer.json()) as { userCtx: { name: string | null } }).userCtx.name;
  };

  it('are made, used, changed and deleted through pouchdb-authentication', async () => {
    const call = (name: Parameters<typeof tab.call<'authenticate'>>[2], ...args: unknown[]) =>
      tab.call('authenticate', notes(), name, ...args);
    expect(await whoAmI()).toEqual(NOBODY);
    const metadata = { email: 'ann@example.org' };
    expect(await call('signUp', 'ann', 'apple', { metadata })).toMatchObject({ ok: true });
    expect(await call('signUp', 'ann', 'pear')).toMatchObject({ status: 409, name: 'conflict' });
    expect(await call('logIn', 'ann', 'pear')).toMatchObject({ status: 401, name: 'unauthorized' });
    expect(await call('logIn', 'ann', 'apple')).toMatchObject({ ok: true, name: 'ann', roles: [] });
    expect(await whoAmI()).toEqual({ name: 'ann', roles: [] });
    expect(await call('getUser', 'ann')).toMatchObject({ name: 'ann', ...metadata });
    expect(await call('getUser', 'admin')).toMatchObject({ status: 404 });
    expect(await call('putUser', 'ann', { roles: ['_admin'] })).toMatchObject({ status: 403 });
    expect(await call('putUser', 'ann', { metadata: { email: 'a@b.c' } })).toMatchObject({ ok: true });
    expect(await call('getUser', 'ann')).toMatchObject({ email: 'a@b.c', roles: [] });
    await tab.call('put', 'mine', { _id: 'by-ann' });
    expect(await tab.call('push', 'mine', notes())).toMatchObject({ ok: true, docs_written: 1 });

    expect(await call('changePassword', 'ann', 'plum')).toMatchObject({ ok: true });
    expect(await whoAmI()).toEqual(NOBODY);
    expect(await call('logIn', 'ann', 'apple')).toMatchObject({ status: 401 });
    expect(await call('logIn', 'ann', 'plum')).toMatchObject({ ok: true });
    expect(await call('logOut')).toEqual({ ok: true });
    expect(await whoAmI()).toEqual(NOBODY);
    await expect(tab.call('push', 'mine', notes())).rejects.toThrow();

    expect(await call('signUpAdmin', 'eve', 'fig')).toMatchObject({ status: 401 });
    const { username, password } = gateway.auth;
    expect(await call('logIn', username, password)).toMatchObject({ ok: true, roles: ['_admin'] });
    expect(await call('changeUsername', 'ann', 'anna')).toMatchObject({ ok: true });
    expect(await call('signUpAdmin', 'bo', 'kiwi')).toBe('""\n');
    expect(await call('logIn', 'bo', 'kiwi')).toMatchObject({ ok: true, roles: ['_admin'] });
    expect(await call('deleteAdmin', 'bo')).toMatch(/^"-pbkdf2/);
    expect(await whoAmI()).toEqual(NOBODY);
    expect(await call('logIn', 'anna', 'plum')).toMatchObject({ ok: true, name: 'anna' });
    expect(await call('deleteUser', 'anna')).toMatchObject({ ok: true });
    expect(await whoAmI()).toEqual(NOBODY);
  });

  it('sync live for longer than an unused session lasts', async () => {
    await gateway.couch.put(`${CONFIG}/chttpd_auth/timeout`, String(TIMEOUT));
    await logIn(gateway.url);
    await tab.call('startSync', 'live', notes());
    // Nothing is asked but the feed, until both the cookie of the log-in and the next one are worth nothing.
    for (let round = 1; round <= 2; round++) {
      const current = await cookie();
      await until('a cookie is too old', async () => (await nameOf(current)) === null, { step: 250 });
    }
    await gateway.couch.put('/notes/from-server', {});
    await until(
      'the page has it',
      async () => await tab.call('get', 'live', 'from-server').catch(() => false),
    );
    await tab.call('put', 'live', { _id: 'from-page' });
    await until('the server has it', async () => {
      const { status } = await gateway.couch.request('GET', '/notes/from-page');
      return status === 200;
    });
    expect(await tab.call('problems')).toEqual([]);
    await tab.call('stopSync', 'live');
    await gateway.couch.delete(`${CONFIG}/chttpd_auth/timeout`);
  });

  it('work in a page whose server passes on to this one under its own name, as Fauxton does', async () => {
    const proxy = await startProxy(gateway.url, { page: '<!doctype html><title>proxy</title>' });
    const { page } = tab;
    await page.goto(proxy.origin);
    const ask = (method: string, path: string, form?: string) =>
      page.evaluate(
        async ([url, init]) => {
          const answer = await fetch(url, init);
          return [answer.status, await answer.json()] as [number, unknown];
        },
        [path, { method, headers: headersFor(form), ...(form !== undefined && { body: form }) }] as const,
      );
    const { username, password } = gateway.auth;
    const form = new URLSearchParams({ name: username, password }).toString();
    expect(await ask('GET', '/')).toMatchObject([200, { couchdb: 'Welcome' }]);
    expect(await ask('GET', '/_all_dbs')).toMatchObject([401, {}]);
    expect(await ask('POST', '/_session', form)).toMatchObject([200, { ok: true }]);
    expect(await ask('GET', '/_session')).toMatchObject([200, { userCtx: { roles: ['_admin'] } }]);
    expect(await ask('PUT', '/made')).toEqual([201, { ok: true }]);
    expect(await ask('GET', '/_all_dbs')).toEqual([200, ['_replicator', '_users', 'made', 'notes']]);
    expect(await ask('GET', CONFIG)).toMatchObject([200, { vendor: {} }]);
    expect(await ask('DELETE', '/_session', '')).toEqual([200, { ok: true }]);
    expect(await ask('GET', '/_all_dbs')).toMatchObject([401, {}]);
    await proxy.close();
  });

  describe('of a site that is another one to the browser', () => {
    let profile: string;
    let context: BrowserContext;
    // Browsers take this machine's own addresses for safe, and keep cookies for TLS there, too.
    let proxy: Site;
    beforeAll(async () => {
      profile = await temporaryFolder();
      context = await launchProfile(profile);
      proxy = await startProxy(gateway.url, { headers: { 'x-forwarded-proto': 'https' } });
    });
    afterAll(async () => {
      await context.close();
      await proxy.close();
      await rm(profile, { recursive: true, force: true });
    });
    beforeEach(async () => {
      await context.clearCookies();
      tab = await Tab.open(context, { ...site, origin: elsewhere() });
    });

    /** Logs in at a server whose cookies have this attribute; who one is then. */
    const logInWith = async (sameSite: string, url: string): Promise<unknown> => {
      await gateway.couch.put(`${CONFIG}/chttpd_auth/same_site`, sameSite);
      await logIn(url);
      return await whoAmI(`${url}/notes`);
    };

    it('have a cookie where that is for TLS and for all sites', async () => {
      const { username: name } = gateway.auth;
      expect(await logInWith('None', proxy.origin)).toEqual({ name, roles: ['_admin'] });
      await tab.call('put', 'other', { _id: 'from-elsewhere' });
      const push = await tab.call('push', 'other', `${proxy.origin}/notes`);
      expect(push).toMatchObject({ ok: true, docs_written: 1 });
    });

    it.each(['', 'Strict'])('have none that says SameSite=%s', async (sameSite) => {
      expect(await logInWith(sameSite, proxy.origin)).toEqual(NOBODY);
      await expect(tab.call('pull', 'nothing', `${proxy.origin}/notes`)).rejects.toThrow();
    });

    it('have none without TLS', async () => {
      expect(await logInWith('None', gateway.url)).toEqual(NOBODY);
    });
  });
});
