import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runBrowserSync } from './support/browser-sync.js';
import { hasBrowser, launchChromium, servePage, type Site, Tab } from './support/chromium.js';
import { ODD_IDS } from './support/fill.js';
import { serverTrees } from './support/pouch.js';
import { Restartable } from './support/restartable.js';
import { difference } from './support/trees.js';

const COUNT = 1000;

describe.runIf(await hasBrowser())('PouchDB in Chromium, from a page of another origin', () => {
  let browser: Browser;
  let site: Site;
  let stranger: Site;
  let gateway: Restartable;

  beforeAll(async () => {
    site = await servePage();
    stranger = await servePage();
    gateway = await Restartable.start({ args: ['--cors', site.origin] });
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser.close();
    await gateway.remove();
    await Promise.all([site.close(), stranger.close()]);
  });

  const withCredentials = (): string => {
    const { username, password } = gateway.auth;
    return gateway.url.replace('://', `://${username}:${password}@`);
  };

  it.each(['in the URL', 'as an option', 'by a cookie session'])(
    'pushes and pulls, logged in %s',
    async (way) => {
      const tab = await Tab.open(browser, site);
      const database = way.replaceAll(' ', '-').toLowerCase();
      const url = `${way === 'in the URL' ? withCredentials() : gateway.url}/${database}`;
      const options = way === 'as an option' ? { auth: gateway.auth } : {};
      if (way === 'by a cookie session') {
        expect(await tab.call('fetch', `${gateway.url}/_all_dbs`)).toMatchObject({ status: 401 });
        const { username: name, password } = gateway.auth;
        const login = await tab.call('fetch', `${gateway.url}/_session`, {
          method: 'POST',
          body: { name, password },
        });
        expect(login).toMatchObject({ status: 200, body: { ok: true, roles: ['_admin'] } });
      }
      expect(await tab.call('adapter', 'first')).toBe('indexeddb');
      await tab.call('fill', 'first', 'page');
      const push = await tab.call('push', 'first', url, options);
      expect(push).toMatchObject({ ok: true, doc_write_failures: 0, errors: 0 });
      expect(push.docs_written).toBeGreaterThan(100 + ODD_IDS.length);
      const pull = await tab.call('pull', 'second', url, options);
      expect(pull).toMatchObject({ ok: true, docs_written: push.docs_written, errors: 0 });
      const trees = await serverTrees(gateway.couch, database);
      expect(difference(await tab.call('trees', 'first'), trees)).toBeUndefined();
      expect(difference(await tab.call('trees', 'second'), trees)).toBeUndefined();
      await tab.page.close();
    },
  );

  it('is refused from an origin that was not named, and without a password', async () => {
    const foreign = await Tab.open(browser, stranger);
    await expect(foreign.call('fetch', `${gateway.url}/`)).rejects.toThrow('Failed to fetch');
    await foreign.page.close();
    const tab = await Tab.open(browser, site);
    expect(await tab.call('fetch', `${gateway.url}/in-the-url`)).toMatchObject({ status: 401 });
    await expect(tab.call('pull', 'nothing', `${gateway.url}/in-the-url`)).rejects.toThrow();
    await tab.page.close();
  });

  it(`syncs ${String(COUNT)} documents live through a stop and a kill`, { timeout: 120_000 }, async () => {
    await runBrowserSync({ gateway, browser, site, count: COUNT, ceiling: 60_000 });
  });
});
