import { access, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { build } from 'vite';
import type { PageApi } from './page/main.js';
import { type Site, startSite } from './site.js';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Where Chromium is; undefined where it is not installed. */
export async function findChromium(): Promise<string | undefined> {
  const folders = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/bin'];
  for (const folder of folders) {
    for (const name of ['chromium', 'chromium-browser']) {
      const file = path.join(folder, name);
      const isThere = await access(file).then(
        () => true,
        () => false,
      );
      if (isThere) return file;
    }
  }
  return undefined;
}

/** Whether tests with a browser run here: CI has to have one, elsewhere they are left out without it. */
export async function hasBrowser(): Promise<boolean> {
  if ((await findChromium()) !== undefined || process.env.CI === 'true') return true;
  process.stderr.write('no Chromium here, its tests are skipped (apt-get install chromium)\n');
  return false;
}

export async function launchChromium(): Promise<Browser> {
  return await chromium.launch({ executablePath: await chromiumPath(), args: FLAGS });
}

/** A browser whose profile, in this folder, lets pages use cookies of other sites; by itself it lets none. */
export async function launchProfile(folder: string): Promise<BrowserContext> {
  await mkdir(path.join(folder, 'Default'), { recursive: true });
  const preferences = { profile: { cookie_controls_mode: 0, block_third_party_cookies: false } };
  await writeFile(path.join(folder, 'Default', 'Preferences'), JSON.stringify(preferences));
  return await chromium.launchPersistentContext(folder, {
    executablePath: await chromiumPath(),
    args: FLAGS,
  });
}

async function chromiumPath(): Promise<string> {
  const file = await findChromium();
  if (file === undefined) throw new Error('Chromium is not installed (apt-get install chromium)');
  return file;
}

/** Serves some files from memory; the path `/` is `index.html`. */
export function serveFiles(files: ReadonlyMap<string, string | Buffer>): Promise<Site> {
  const types = new Map([
    ['.html', 'text/html; charset=utf-8'],
    ['.js', 'text/javascript; charset=utf-8'],
    ['.css', 'text/css'],
  ]);
  return startSite(({ url = '/' }, response) => {
    const name = url === '/' ? '/index.html' : url;
    const content = files.get(name);
    response.writeHead(content === undefined ? 404 : 200, {
      'content-type': types.get(path.extname(name)) ?? 'text/plain',
    });
    response.end(content);
  });
}

/** The script of the test page: PouchDB for browsers and what the tests call. */
async function bundlePage(): Promise<string> {
  const result = await build({
    configFile: false,
    logLevel: 'error',
    build: {
      write: false,
      minify: false,
      lib: { entry: path.join(import.meta.dirname, 'page/main.ts'), formats: ['iife'], name: 'page' },
    },
  });
  const bundles = Array.isArray(result) ? result : [result];
  for (const bundle of bundles) if ('output' in bundle) return bundle.output[0].code;
  throw new Error('the page was not bundled');
}

/** The test page on an origin of its own. */
export async function servePage(): Promise<Site> {
  return await serveFiles(
    new Map([
      ['/index.html', '<!doctype html><title>test</title><script src="/page.js"></script>'],
      ['/page.js', await bundlePage()],
    ]),
  );
}

declare const causeway: PageApi;

/** A tab that shows the test page. */
export class Tab {
  private constructor(readonly page: Page) {}

  static async open(context: Browser | BrowserContext, site: Site): Promise<Tab> {
    const page = await context.newPage();
    await page.goto(site.origin);
    return new Tab(page);
  }

  /** Calls one of the page's functions. */
  async call<K extends keyof PageApi>(
    name: K,
    ...args: Parameters<PageApi[K]>
  ): Promise<Awaited<ReturnType<PageApi[K]>>> {
    const call = { name, args } as { name: keyof PageApi; args: unknown[] };
    const result: unknown = await this.page.evaluate(
      ({ name: called, args: given }) => (causeway[called] as (...all: unknown[]) => unknown)(...given),
      call,
    );
    return result as Awaited<ReturnType<PageApi[K]>>;
  }
}
