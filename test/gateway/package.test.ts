import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { prepare } from '../../scripts/setup.cjs';
import { temporaryFolder } from '../support/server.js';
import { readmeFiles } from '../system/support/readme.js';

const root = path.resolve(import.meta.dirname, '../..');
let app: string;

/** An application that has the packed package, and what that names as its dependencies, but nothing else. */
beforeAll(async () => {
  prepare();
  app = await temporaryFolder();
  const modules = path.join(app, 'node_modules');
  mkdirSync(modules);
  run(root, 'npm', 'pack', '--ignore-scripts', '--pack-destination', app);
  const tarball = readdirSync(app).find((name) => name.endsWith('.tgz')) ?? '';
  run(app, 'tar', '-xzf', tarball);
  run(app, 'mv', 'package', path.join(modules, 'causeway'));
  const { dependencies } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  for (const name of [...Object.keys(dependencies), '@types']) {
    symlinkSync(path.join(root, 'node_modules', name), path.join(modules, name));
  }
  write('package.json', '{ "type": "module" }');
});
afterAll(() => {
  rmSync(app, { recursive: true, force: true });
});

function run(cwd: string, command: string, ...args: string[]): string {
  const env = { PATH: process.env.PATH, HOME: app };
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd,
    env,
    encoding: 'utf8',
    timeout: 100_000,
  });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}\n${stderr}`);
  return stdout;
}

function write(name: string, text: string): void {
  writeFileSync(path.join(app, name), text);
}

const PROGRAM = `
import { createGateway, openDatabase, PouchDB, type ConfigValues, type Gateway, type PouchDatabase } from 'causeway';
import type { Conflict, MergeFunction, Resolution } from 'causeway';

const config: ConfigValues = { port: 0, data: 'data', admins: { admin: 'secret' }, log: { level: 'silent' } };
const gateway: Gateway = await createGateway(config);
const local: PouchDatabase = openDatabase('notes');
await local.put({ _id: 'a', text: 'hello' });
const remote = new PouchDB(\`\${gateway.url}/notes\`, { auth: { username: 'admin', password: 'secret' } });
const { docs_written: written } = await local.replicate.to(remote);
const { text } = await remote.get('a');
await local.close();
await gateway.close();
console.log(JSON.stringify({ written, text }));

const longest: MergeFunction = ({ leaves, base }: Conflict): Resolution => {
  const [first, ...others] = leaves.toSorted((a, b) => String(b.doc.text).length - String(a.doc.text).length);
  if (first === undefined || others.some(({ doc }) => doc._attachments !== undefined)) return { defer: 'attachments' };
  return base === undefined ? { pick: first.rev } : { merge: { ...base.doc, text: first.doc.text } };
};
console.log(typeof longest);
// @ts-expect-error what is no resolution
const never: MergeFunction = () => ({ keep: true });

// @ts-expect-error a key that there is not
const wrong: ConfigValues = { prot: 1 };
await createGateway(wrong).catch((error: unknown) => console.log(String(error)));
`;

it('holds the compiled program with its types, and nothing of the clone', () => {
  const names = run(path.join(app, 'node_modules/causeway'), 'find', '.', '-type', 'f').trim().split('\n');
  for (const name of ['README.md', 'LICENSE', 'dist/main.js', 'dist/lib/library.d.ts', 'dist/lib/library.js'])
    expect(names).toContain(`./${name}`);
  const strange = names.filter(
    (name) => !/^\.\/(dist\/.*(\.m?js|\.d\.ts|package\.json)|package\.json|README\.md|LICENSE)$/.test(name),
  );
  expect(strange).toEqual([]);
  expect(run(app, process.execPath, 'node_modules/causeway/dist/main.js', '--version')).toMatch(
    /^\d+\.\d+\.\d+\n$/,
  );
});

it('is used from TypeScript', () => {
  write('app.ts', PROGRAM);
  const options = {
    module: 'NodeNext',
    target: 'ES2023',
    strict: true,
    types: ['node'],
    exactOptionalPropertyTypes: true,
    // Those of the dependencies take most of the time.
    skipLibCheck: true,
  };
  write('tsconfig.json', JSON.stringify({ compilerOptions: options, include: ['app.ts'] }));
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  run(app, process.execPath, tsc, '-p', '.');
  const [first, second, third] = run(app, process.execPath, 'app.js').split('\n');
  expect(JSON.parse(first ?? '')).toEqual({ written: 1, text: 'hello' });
  expect(second).toBe('function');
  expect(third).toContain('prot (the given configuration) is not a key; did you mean port?');
});

it('is used as the README says', async () => {
  const files = await readmeFiles('In a program');
  write('embedded.mjs', `${files.get('embedded.mjs') ?? ''}console.log('done');`);
  expect(run(app, process.execPath, 'embedded.mjs')).toBe('done\n');
});

it('is used from CommonJS', () => {
  write(
    'app.cjs',
    `const { createGateway, openDatabase } = require('causeway');
     const db = openDatabase('common');
     db.put({ _id: 'a' }).then(() => db.info()).then(({ doc_count }) => console.log(typeof createGateway, doc_count));`,
  );
  expect(run(app, process.execPath, 'app.cjs')).toBe('function 1\n');
});
