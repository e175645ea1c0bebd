import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { readdir, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startGateway } from '../support/server.js';
import { Couch, type Info, load } from './support/couch.js';
import { documents } from './support/documents.js';
import { Restartable } from './support/restartable.js';
import { until } from './support/wait.js';

const COUNT = 4000;

async function filesOf(folder: string, pattern: RegExp): Promise<string[]> {
  const found = (await readdir(folder)).filter((name) => pattern.test(name));
  return found.map((name) => path.join(folder, name));
}

async function each(folder: string, pattern: RegExp, work: (file: string) => Promise<void>): Promise<void> {
  const found = await filesOf(folder, pattern);
  expect(found.length).toBeGreaterThan(0);
  for (const file of found) await work(file);
}

/** What becomes of the folder of each database. */
const DAMAGES: Readonly<Record<string, (folder: string) => Promise<void>>> = {
  'tables-gone': (folder) => each(folder, /\.ldb$/, (file) => rm(file)),
  'current-gone': (folder) => each(folder, /^CURRENT$/, (file) => rm(file)),
  'current-empty': (folder) => each(folder, /^CURRENT$/, (file) => truncate(file)),
  'manifest-gone': (folder) => each(folder, /^MANIFEST/, (file) => rm(file)),
  'manifest-wrong': (folder) => each(folder, /^MANIFEST/, (file) => writeFile(file, 'x'.repeat(5000))),
};

describe('a database whose files are damaged', () => {
  let gateway: Restartable;
  const names = Object.keys(DAMAGES);
  const folders = new Map<string, string>();

  beforeAll(async () => {
    gateway = await Restartable.start({ args: ['--store-write-buffer', '1048576'] });
    for (const name of ['good', ...names]) {
      await gateway.couch.put(`/${name}`);
      await load(gateway.couch, name, documents(COUNT));
    }
    await gateway.stop();
    for (const [name, damage] of Object.entries(DAMAGES)) {
      const folder = await gateway.folderOf(name);
      folders.set(name, folder);
      await damage(folder);
    }
    await gateway.start();
  });
  afterAll(async () => {
    await gateway.remove();
  });

  it.each(names)('(%s) says so and loses no more; the others serve, and it can be deleted', async (name) => {
    const { couch } = gateway;
    const folder = folders.get(name) ?? '';
    const tables = await filesOf(folder, /\.ldb$/);
    for (const [method, url] of [
      ['GET', `/${name}`],
      ['GET', `/${name}/_all_docs`],
      ['PUT', `/${name}/x`],
    ] as const) {
      expect(await couch.request(method, url, method === 'PUT' ? { body: {} } : {})).toMatchObject({
        status: 500,
        body: {
          error: 'internal_server_error',
          reason: expect.stringMatching(`^The database ${name} is damaged.*causeway verify`) as string,
        },
      });
    }
    expect(await filesOf(folder, /\.ldb$/)).toEqual(tables);
    expect(gateway.program.stderr).toMatch(/Corruption|does not exist|No such file/);
    expect(await couch.get('/_all_dbs')).toContain(name);
    expect(((await couch.get('/good')) as Info).doc_count).toBeGreaterThanOrEqual(COUNT);
    await couch.put(`/good/${name}`, {});
    await couch.delete(`/${name}`);
    expect(await couch.get('/_all_dbs')).not.toContain(name);
  });
});

it('with few file handles databases are refused for a moment, none is lost, and the server lives', async () => {
  const names = Array.from({ length: 30 }, (_, n) => `db${String(n)}`);
  const gateway = await startGateway();
  const couch = new Couch(gateway.url, gateway.authorization, 4);
  const { pid } = gateway.program;
  const limit = readdirSync(`/proc/${String(pid)}/fd`).length + 60;
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${String(limit)}:${String(limit)}`]);
  try {
    const refused = new Set<number>();
    const patiently = (method: string, url: string, body?: unknown): Promise<unknown> =>
      until(`${method} ${url}`, async () => {
        const answer = await couch.request(method, url, { body });
        if (answer.status < 300) return answer.body ?? true;
        refused.add(answer.status);
        expect(answer).toMatchObject({ status: 503, body: { error: 'service_unavailable' } });
        return undefined;
      });
    for (const name of names) {
      await patiently('PUT', `/${name}`);
      await patiently('PUT', `/${name}/doc`, { name });
    }
    expect([...refused]).toEqual([503]);
    for (const name of names) expect(await patiently('GET', `/${name}/doc`)).toMatchObject({ name });
    expect(await couch.get('/_all_dbs')).toEqual(['_replicator', '_users', ...names].sort());
  } finally {
    await couch.close();
    expect(await gateway.stop()).toBe(0);
  }
});
