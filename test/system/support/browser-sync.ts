import assert from 'node:assert/strict';
import type { Browser } from 'playwright-core';
import { Tab } from './chromium.js';
import type { Site } from './site.js';
import type { Changes, Info } from './couch.js';
import { serverTrees } from './pouch.js';
import type { Restartable } from './restartable.js';
import { difference, leavesOf } from './trees.js';
import { until } from './wait.js';

export interface BrowserSyncOptions {
  readonly gateway: Restartable;
  readonly browser: Browser;
  readonly site: Site;
  /** Documents that move from one browser to the other. */
  readonly count: number;
  /** Milliseconds that this may take. */
  readonly ceiling: number;
}

/**
 * Two browsers sync live through a server that is stopped, and killed, in the middle; both edit and delete, and
 * disagree. In the end all three have the same trees.
 */
export async function runBrowserSync({
  gateway,
  browser,
  site,
  count,
  ceiling,
}: BrowserSyncOptions): Promise<void> {
  const database = 'browsers';
  const url = `${gateway.url}/${database}`;
  const options = { auth: gateway.auth };
  const tabs = [await openTab(browser, site), await openTab(browser, site)] as const;
  const [one, two] = tabs;
  const both = async (work: (tab: Tab, n: number) => Promise<unknown>): Promise<void> => {
    await Promise.all(tabs.map(work));
  };
  await one.call('write', 'local', count, 'doc-');
  await both((tab) => tab.call('startSync', 'local', url, options));

  const arrived = async (): Promise<number> => ((await gateway.couch.get(`/${database}`)) as Info).doc_count;
  await until('a fifth has arrived', async () => (await arrived()) >= count / 5, { ceiling });
  await gateway.restart('SIGTERM');
  await until('half has arrived', async () => (await arrived()) >= count / 2, { ceiling });
  await gateway.kill();
  await both(async (tab, n) => {
    await tab.call('put', 'local', { _id: 'disputed', by: n });
    await tab.call('write', 'local', 20, `away-${String(n)}-`);
  });
  await gateway.start();

  await untilEqual(gateway, database, tabs, ceiling);
  await one.call('edit', 'local', 'doc-0000001', { edited: 'by one' });
  await two.call('remove', 'local', 'doc-0000002');
  await two.call('edit', 'local', 'away-0-0000000', { edited: 'by two' });
  await untilEqual(gateway, database, tabs, ceiling);

  await both((tab) => tab.call('stopSync', 'local'));
  const trees = await serverTrees(gateway.couch, database);
  assert.match(trees['doc-0000001'] ?? '', /by one/);
  assert.match(trees['doc-0000002'] ?? '', /^winner 2-\w+ deleted/);
  assert.equal((trees.disputed ?? '').split('\n').length, 3, 'both sides of the conflict are there');
  assert.equal(Object.keys(trees).length, count + 41);
  for (const tab of tabs) {
    assert.equal(difference(await tab.call('trees', 'local'), trees), undefined);
    assert.deepEqual(await tab.call('problems'), []);
  }
}

/** A browser profile of its own. */
async function openTab(browser: Browser, site: Site): Promise<Tab> {
  return await Tab.open(await browser.newContext(), site);
}

async function untilEqual(
  gateway: Restartable,
  database: string,
  tabs: readonly Tab[],
  ceiling: number,
): Promise<void> {
  const server = async (): Promise<string> =>
    leavesOf(((await gateway.couch.get(`/${database}/_changes?style=all_docs`)) as Changes).results);
  await until(
    'both browsers and the server have the same leaves',
    async () => {
      const wanted = await server();
      for (const tab of tabs) if ((await tab.call('leaves', 'local')) !== wanted) return false;
      return wanted === (await server());
    },
    { ceiling, step: 250 },
  );
}
