import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runBrowserSync } from './support/browser-sync.js';
import { hasBrowser, launchChromium, servePage, Tab } from './support/chromium.js';
import type { Site } from './support/site.js';
import { ODD_IDS } from './support/fill.js';
import { settledMemory } from './support/memory.js';
import { noise } from './support/noise.js';
import { serverTrees } from './support/pouch.js';
import { MemoryWatch } from './support/proc.js';
import { Restartable } from './support/restartable.js';
import { difference } from './support/trees.js';
import { until } from './support/wait.js';

const COUNT = 1000;
/** Bytes. */
const BLOB = 20_000_000;

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe.runIf(await hasBrowser())('PouchDB in Chromium, from a page of another origin', () => {
  let browser: Browser;
  let site: Site;
  let stranger: Site;
  let gateway: Restartable;

  beforeAll(async () => {
    site = await servePage();
    stranger = await servePage();
    const merge = { function: 'three-way', fields: { '/n': 'counter', '/tags': 'set' } };
    gateway = await Restartable.start({
      args: ['--cors', site.origin],
      env: { CAUSEWAY_DATABASES: JSON.stringify([{ match: 'merged', mode: 'local', merge }]) },
    });
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

  it('carries attachments of 20 MB as Blobs both ways', async () => {
    const url = `${gateway.url}/blobs`;
    const options = { auth: gateway.auth };
    const tab = await Tab.open(browser, site);
    await gateway.couch.put('/blobs');
    const idle = await settledMemory(gateway.pid);
    const watch = new MemoryWatch(gateway.pid);
    await tab.call('putBlob', 'sender', 'from-browser', BLOB, 1);
    expect(await tab.call('push', 'sender', url, options)).toMatchObject({ ok: true, docs_written: 1 });
    const { body } = await gateway.couch.open('GET', '/blobs/from-browser/blob');
    expect(sha256(new Uint8Array(await body.arrayBuffer()))).toBe(sha256(noise(BLOB, 1)));
    const upload = await fetch(`${url}/from-server/blob`, {
      method: 'PUT',
      headers: { authorization: gateway.authorization, 'content-type': 'application/octet-stream' },
      body: noise(BLOB, 2),
    });
    expect(upload.status).toBe(201);
    expect(await tab.call('pull', 'receiver', url, options)).toMatchObject({ ok: true, docs_written: 2 });
    const grown = (await watch.stop()) - idle;
    for (const [id, seed] of [
      ['from-browser', 1],
      ['from-server', 2],
    ] as const) {
      expect(await tab.call('readBlob', 'receiver', id)).toEqual({
        isBlob: true,
        size: BLOB,
        type: 'application/octet-stream',
        sha256: sha256(noise(BLOB, seed)),
      });
    }
    // PouchDB sends it as base64 in one JSON body: some 180 MB, and no multiple of that.
    expect(grown).toBeLessThan(280e6);
    await tab.page.close();
  });

  it(`syncs ${String(COUNT)} documents live through a stop and a kill`, { timeout: 600_000 }, async () => {
    await runBrowserSync({ gateway, browser, site, count: COUNT, ceiling: 60_000 });
  });

  it('gets what was edited offline in two browsers back as one document', async () => {
    const url = `${gateway.url}/merged`;
    const tabs = [await Tab.open(browser, site), await Tab.open(browser, site)] as const;
    const names = ['here', 'there'] as const;
    const both = <T>(work: (tab: Tab, name: string) => Promise<T>): Promise<T[]> =>
      Promise.all(tabs.map((tab, at) => work(tab, names[at] ?? '')));
    const start = (): Promise<unknown> =>
      both((tab, name) => tab.call('startSync', name, url, { auth: gateway.auth }));
    const isThere = async (members: object): Promise<void> => {
      await until('both have it', async () => {
        const docs = await both((tab, name) => tab.call('getConflicts', name, 'order').catch(() => ({})));
        return docs.every((doc) => isDeepStrictEqual({ ...doc, _id: '', _rev: '' }, members));
      });
    };

    const order = { n: 1, tags: ['new'], title: 'Order' };
    await tabs[0].call('put', 'here', { _id: 'order', ...order });
    await start();
    await isThere({ _id: '', _rev: '', ...order });
    await both((tab, name) => tab.call('stopSync', name));
    await tabs[0].call('edit', 'here', 'order', { n: 11, tags: ['new', 'big'], paid: true });
    await tabs[1].call('edit', 'there', 'order', { n: 101, tags: ['new', 'late'] });
    await tabs[1].call('edit', 'there', 'order', { title: 'Order 17' });

    await start();
    const merged = { n: 111, tags: ['new', 'late', 'big'], paid: true, title: 'Order 17' };
    await isThere({ _id: '', _rev: '', ...merged });
    await both((tab, name) => tab.call('stopSync', name));
    const trees = await serverTrees(gateway.couch, 'merged');
    for (const tree of await both((tab, name) => tab.call('trees', name)))
      expect(difference(tree, trees)).toBeUndefined();
    expect(await both((tab) => tab.call('problems'))).toEqual([[], []]);
    await Promise.all(tabs.map(({ page }) => page.close()));
  });
});
