import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasBrowser, launchChromium, serveFiles } from './support/chromium.js';
import type { Site } from './support/site.js';
import { Restartable } from './support/restartable.js';

/** What an attacker has the browser of an admin run: it says that it did, and changes something as the admin. */
const SCRIPT = `document.documentElement.id = 'ran';
fetch('/notes/by-script', { method: 'PUT', headers: { 'content-type': 'application/json' }, body: '{}' });`;

const PAGES = [
  ['page.html', 'text/html', `<p>read me<script>${SCRIPT}</script><img src=x onerror="${SCRIPT}">`],
  [
    'picture.svg',
    'image/svg+xml',
    `<svg xmlns="http://www.w3.org/2000/svg"><text y="20">read me</text><script>${SCRIPT}</script></svg>`,
  ],
  [
    'page.xhtml',
    'application/xhtml+xml',
    `<html xmlns="http://www.w3.org/1999/xhtml"><body>read me<script>${SCRIPT}</script></body></html>`,
  ],
] as const;

const scriptPage = (url: string): string => `<!doctype html>
<script src="${url}" onload="document.title = 'loaded'" onerror="document.title = 'refused'"></script>`;

const formPage = (url: string): string => `<!doctype html>
<form method="post" enctype="multipart/form-data" action="${url}"><input name="_doc" value="{}"></form>
<script>document.forms[0].submit()</script>`;

describe.runIf(await hasBrowser())('whoever reads others’ pages in Chromium', () => {
  let gateway: Restartable;
  let browser: Browser;
  /** A page of another origin, on the same machine: cookies that are for one site go along. */
  let evil: Site;

  beforeAll(async () => {
    gateway = await Restartable.start({ env: { CAUSEWAY_PASSWORDS_ITERATIONS: '1000' } });
    evil = await serveFiles(
      new Map([
        ['/script.html', scriptPage(`${gateway.url}/notes/doc/data.txt`)],
        ['/form.html', formPage(`${gateway.url}/notes/forged`)],
      ]),
    );
    browser = await launchChromium();
    await gateway.couch.put('/notes');
    await gateway.couch.put('/notes/doc', {});
    for (const [name, type, text] of [...PAGES, ['data.txt', 'text/plain', SCRIPT] as const]) {
      const { headers } = await gateway.couch.open('HEAD', '/notes/doc');
      const put = {
        text,
        headers: { 'content-type': type, 'if-match': String(headers.etag).replaceAll('"', '') },
      };
      expect(await gateway.couch.request('PUT', `/notes/doc/${name}`, put)).toMatchObject({ status: 201 });
    }
  });
  afterAll(async () => {
    await browser.close();
    await gateway.remove();
    await evil.close();
  });

  /** A browser in which an admin is logged in. */
  const loggedIn = async (): Promise<{ context: BrowserContext; page: Page }> => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${gateway.url}/`);
    const { username: name, password } = gateway.auth;
    const status = await page.evaluate(async (body) => {
      const headers = { 'content-type': 'application/json' };
      return (await fetch('/_session', { method: 'POST', headers, body })).status;
    }, JSON.stringify({ name, password }));
    expect(status).toBe(200);
    return { context, page };
  };
  const exists = async (id: string): Promise<boolean> =>
    (await gateway.couch.request('GET', `/notes/${id}`)).status === 200;

  it.each(PAGES)('sees the attachment %s, and its script does not run', async (name) => {
    const { context, page } = await loggedIn();
    await page.goto(`${gateway.url}/notes/doc/${name}`, { waitUntil: 'networkidle' });
    expect(await page.textContent(':root')).toContain('read me');
    expect(await page.getAttribute(':root', 'id')).toBeNull();
    expect(await page.evaluate('self.origin')).toBe('null');
    // Nor could it be anybody if it ran.
    const asked = page.evaluate(async () => (await fetch('/_session', { credentials: 'include' })).json());
    await expect(asked).rejects.toThrow('Failed to fetch');
    expect(await exists('by-script')).toBe(false);
    await context.close();
  });

  it('has no attachment run as a script that is none', async () => {
    const { context, page } = await loggedIn();
    await page.goto(`${evil.origin}/script.html`);
    expect([await page.title(), await page.getAttribute(':root', 'id')]).toEqual(['refused', null]);
    await context.close();
  });

  it('sends no form with a document in their name', async () => {
    const { context, page } = await loggedIn();
    const answered = page.waitForResponse(`${gateway.url}/notes/forged`);
    await page.goto(`${evil.origin}/form.html`);
    const answer = await answered;
    // The cookie was there.
    expect(await answer.request().headerValue('cookie')).toContain('AuthSession=');
    expect(answer.status()).toBe(403);
    expect(await exists('forged')).toBe(false);
    await context.close();
  });
});
