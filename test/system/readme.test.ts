import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import path from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningGateway, startGateway, startProcess, temporaryFolder } from '../support/server.js';
import { hasBrowser, launchChromium } from './support/chromium.js';
import { Couch } from './support/couch.js';
import { README_ADDRESS, readmeFiles, readmePackages } from './support/readme.js';
import { until } from './support/wait.js';

const SECTION = 'Your first sync in a minute';

const withBrowser = await hasBrowser();

const root = path.resolve(import.meta.dirname, '../..');

let folder: string;
let gateway: RunningGateway;
let couch: Couch;
let sitePort: number;
let files: Map<string, string>;

beforeAll(async () => {
  folder = await temporaryFolder();
  sitePort = await freePort();
  files = await readmeFiles(SECTION);
  gateway = await startGateway({
    data: path.join(folder, 'data'),
    args: ['--cors', `http://localhost:${String(sitePort)}`],
    // No admin is named: the password is the one that the first start makes.
    env: { CAUSEWAY_ADMINS: '' },
  });
  couch = new Couch(gateway.url, gateway.authorization);
});
afterAll(async () => {
  await couch.close();
  await gateway.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Writes a file of the README; only the address, whose port may be taken here, is another. */
async function save(name: string, into: string): Promise<void> {
  const content = files.get(name);
  if (content === undefined) throw new Error(`the README's section has no ${name}`);
  await writeFile(path.join(into, name), content.replaceAll(README_ADDRESS, gateway.url));
}

async function notes(): Promise<string[]> {
  const { rows } = (await couch.get('/notes/_all_docs?include_docs=true')) as {
    rows: { doc: { text: string } }[];
  };
  return rows.map(({ doc }) => doc.text);
}

describe('the first sync of the README', () => {
  it('from Node', async () => {
    await symlink(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
    await save('first-sync.mjs', folder);
    for (const [pushed, pulled] of [
      [1, 0],
      [1, 0],
    ]) {
      const run = startProcess(process.execPath, ['first-sync.mjs'], { cwd: folder });
      expect([await run.ended, run.stdout, run.stderr]).toEqual([
        0,
        `pushed ${String(pushed)}, pulled ${String(pulled)}\n`,
        '',
      ]);
    }
    expect(await notes()).toEqual(['Hello from Node', 'Hello from Node']);
  });

  it('names packages that are tested here', async () => {
    const { devDependencies } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
      devDependencies: Record<string, string>;
    };
    const packages = await readmePackages(SECTION);
    expect(packages).toContain('vite');
    for (const name of packages) expect(devDependencies).toHaveProperty(name);
  });

  describe.runIf(withBrowser)('from a browser', () => {
    let browser: Browser;
    let app: string;

    beforeAll(async () => {
      app = path.join(folder, 'app');
      await mkdir(app);
      for (const name of await readmePackages(SECTION)) if (name !== 'vite') await install(name, app);
      for (const name of ['index.html', 'main.js']) await save(name, app);
      browser = await launchChromium();
    });
    afterAll(async () => {
      await browser.close();
    });

    it.each(['while it is developed', 'when it is built'])(
      'in an empty folder with Vite, %s',
      async (mode) => {
        const isBuilt = mode === 'when it is built';
        if (isBuilt) {
          const build = vite(app, ['build']);
          expect([await build.ended, build.stderr]).toEqual([0, '']);
        }
        const server = vite(app, [
          ...(isBuilt ? ['preview'] : []),
          '--port',
          String(sitePort),
          '--strictPort',
        ]);
        await server.printed('stdout', /http:\/\/localhost:/);
        const before = await notes();
        const page = await (await browser.newContext()).newPage();
        page.on('dialog', (dialog) => void dialog.accept(gateway.admin.password));
        await page.goto(`http://localhost:${String(sitePort)}`);
        await page.getByText('Hello from Node').first().waitFor();
        await page.locator('input').fill(`Hello ${mode}`);
        await page.locator('button').click();
        await page.getByText(`Hello ${mode}`).waitFor();
        await until('the note is on the server', async () => (await notes()).includes(`Hello ${mode}`));
        expect(await notes()).toHaveLength(before.length + 1);
        await page.context().close();
        server.signal('SIGTERM');
        await server.ended;
      },
    );
  });
});

function vite(cwd: string, args: readonly string[]) {
  const program = path.join(root, 'node_modules/vite/bin/vite.js');
  return startProcess(process.execPath, [program, ...args], { cwd, env: { NO_COLOR: '1' } });
}

/** Puts a package and what it needs into a folder, as npm would. */
async function install(name: string, into: string): Promise<void> {
  const source = path.join(root, 'node_modules', name);
  const target = path.join(into, 'node_modules', name);
  await cp(source, target, { recursive: true });
  const manifest = JSON.parse(await readFile(path.join(source, 'package.json'), 'utf8')) as {
    dependencies?: Record<string, string>;
  };
  for (const dependency of Object.keys(manifest.dependencies ?? {})) await install(dependency, into);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
