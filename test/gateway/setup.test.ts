import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryFolder } from '../support/server.js';

const root = path.resolve(import.meta.dirname, '../..');
let clone: string;

/** A clone with the real set-up, but a program of one line. */
beforeAll(async () => {
  clone = await temporaryFolder();
  for (const name of ['scripts', 'package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json'])
    cpSync(path.join(root, name), path.join(clone, name), { recursive: true });
  symlinkSync(path.join(root, 'node_modules'), path.join(clone, 'node_modules'));
  mkdirSync(path.join(clone, 'src'));
  program('one');
  writeFileSync(path.join(clone, 'src/extra.ts'), 'export {};\n');
});
afterAll(() => {
  rmSync(clone, { recursive: true });
});

function program(text: string): void {
  const file = path.join(clone, 'src/main.ts');
  writeFileSync(
    file,
    `export const main = (args: string[]): void => console.log('${text}', process.env.UV_THREADPOOL_SIZE, ...args);\n`,
  );
  // Saved after the build, also where the clock of the file system is coarse.
  const later = new Date(Date.now() + 2000);
  utimesSync(file, later, later);
}

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { PATH: process.env.PATH };
  return spawnSync(process.execPath, args, { cwd: clone, env, encoding: 'utf8', timeout: 60_000 });
}

it('compiles what is stale, and only then', () => {
  const first = run('scripts/causeway', 'a', 'b');
  expect(first).toMatchObject({ status: 0, stdout: 'one 24 a b\n', stderr: 'causeway: compiling src/\n' });

  const past = new Date(Date.now() - 60_000);
  utimesSync(path.join(clone, 'src/main.ts'), past, past);
  run('scripts/setup.cjs', '--build');
  expect(run('scripts/causeway')).toMatchObject({ stdout: 'one 24\n', stderr: '' });

  rmSync(path.join(clone, 'src/extra.ts'));
  program('two');
  expect(run('scripts/causeway')).toMatchObject({ stdout: 'two 24\n', stderr: 'causeway: compiling src/\n' });
  expect(existsSync(path.join(clone, 'dist/lib/extra.js'))).toBe(false);
});

it('never compiles when the compiled program is run', () => {
  program('three');
  expect(run('dist/main.js')).toMatchObject({ stdout: 'two 24\n', stderr: '' });
});

it('says so and ends with 70 when the program does not compile', () => {
  writeFileSync(path.join(clone, 'src/main.ts'), "export const main: number = 'four';\n");
  const { status, stderr } = run('scripts/causeway');
  expect(status).toBe(70);
  expect(stderr).toMatch(/src\/main\.ts\(1,14\): error/);
  // The program is still the one that did.
  expect(run('dist/main.js')).toMatchObject({ stdout: 'two 24\n', stderr: '' });
});

it('takes over from a set-up that was killed', () => {
  program('five');
  const { pid } = spawnSync(process.execPath, ['--version']);
  writeFileSync(path.join(clone, '.setup.lock'), String(pid));
  expect(run('scripts/causeway')).toMatchObject({ status: 0, stdout: 'five 24\n' });
  expect(existsSync(path.join(clone, '.setup.lock'))).toBe(false);
});

it('takes over from a set-up whose number was given out again', () => {
  program('six');
  const lock = path.join(clone, '.setup.lock');
  writeFileSync(lock, String(process.pid));
  const past = new Date(Date.now() - 3_600_000);
  utimesSync(lock, past, past);
  expect(run('scripts/causeway')).toMatchObject({ status: 0, stdout: 'six 24\n' });

  const own =
    "require('fs').writeFileSync('.setup.lock', `${process.pid}`); require('./scripts/setup.cjs').prepare({ build: true })";
  expect(run('-e', own)).toMatchObject({ status: 0 });
  expect(existsSync(lock)).toBe(false);
});

it('runs the program from many files where the bundler does not run', () => {
  program('seven');
  writeFileSync(path.join(clone, 'scripts/bundle.mjs'), "throw new Error('no bundler for this machine');\n");
  const { status, stdout, stderr } = run('scripts/causeway');
  expect({ status, stdout }).toEqual({ status: 0, stdout: 'seven 24\n' });
  expect(stderr).toContain('causeway: the program will start more slowly, from many files');
  expect(existsSync(path.join(clone, 'dist/program'))).toBe(false);
});
