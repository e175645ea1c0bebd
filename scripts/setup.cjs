#!/usr/bin/env node
// Brings a clone into a state in which the program and the tests run: installs the packages that
// package-lock.json asks for when they are not there, and compiles src/ when it is newer than dist/.
// It depends on nothing but Node and npm, and does nothing, quickly, when all is there.
// Everything in it is synchronous: the program that `scripts/causeway` goes on to run in the same process
// can size libuv's thread pool only as long as nothing has used it.
'use strict';
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const root = path.resolve(__dirname, '..');
const inRoot = (...parts) => path.join(root, ...parts);
const SRC = inRoot('src');
const DIST = inRoot('dist');
const LIB = inRoot('dist', 'lib');
const PROGRAM = inRoot('dist', 'program');
const STAMP = inRoot('dist', 'built');
const LOCK = inRoot('.setup.lock');
/** What npm keeps about the packages that it installed. */
const INSTALLED = path.join('node_modules', '.package-lock.json');

/** Whether node_modules holds what package-lock.json names. What npm left out as optional may be missing. */
function isInstalled() {
  const wanted = readJson(inRoot('package-lock.json'))?.packages;
  const present = readJson(inRoot(INSTALLED))?.packages;
  if (!wanted || !present) return false;
  return Object.entries(wanted).every(([name, { version, optional, devOptional, link }]) => {
    if (name === '' || link) return true;
    const found = present[name];
    return found ? found.version === version : Boolean(optional || devOptional);
  });
}

/** Whether dist/ was compiled after the last change of anything that it is made of. */
function isBuilt() {
  const stamp = fs.statSync(STAMP, { throwIfNoEntry: false });
  if (!stamp) return false;
  const scripts = ['setup.cjs', 'bundle.mjs', 'entry.cjs'].map((name) => inRoot('scripts', name));
  // The program has some of the packages within itself.
  const inputs = ['tsconfig.json', 'tsconfig.build.json', INSTALLED].map((name) => inRoot(name));
  return newest([SRC, ...scripts, ...inputs]) <= stamp.mtimeMs;
}

/** The time of the last change at or below some paths; folders count, so that a removed file is noticed. */
function newest(paths) {
  let time = 0;
  for (const item of paths) {
    const stat = fs.statSync(item);
    time = Math.max(time, stat.mtimeMs);
    if (stat.isDirectory())
      time = Math.max(time, newest(fs.readdirSync(item).map((name) => path.join(item, name))));
  }
  return time;
}

function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function install() {
  say('installing packages (npm ci)');
  // The compiler is a development dependency, so those are needed under NODE_ENV=production too, and what the bundler has for
  // this kind of machine is an optional one.
  const needed = ['--include=dev', '--include=optional'];
  run('npm', ['ci', ...needed, '--no-audit', '--no-fund'], { shell: process.platform === 'win32' });
}

/**
 * dist/main.js is CommonJS (it has to run before the loader of ES modules uses the thread pool), and the
 * compiled ES modules stand in dist/lib; each of the two folders says so in a package.json. dist/program has
 * the program once more, in a few files, which is what dist/main.js loads where they are there.
 */
function build() {
  say('compiling src/');
  // Taken before the compiler reads anything: what is saved while it runs is newer than the stamp.
  const started = new Date();
  // What is interrupted from here on is done anew; until then dist/lib is the program, with its threads and child processes.
  fs.rmSync(STAMP, { force: true });
  fs.rmSync(PROGRAM, { recursive: true, force: true });
  run(process.execPath, [inRoot('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json']);
  removeOrphans(LIB, SRC);
  bundle();
  fs.copyFileSync(inRoot('scripts', 'entry.cjs'), path.join(DIST, 'main.js'));
  fs.writeFileSync(path.join(DIST, 'package.json'), '{ "type": "commonjs" }\n');
  fs.writeFileSync(path.join(LIB, 'package.json'), '{ "type": "module" }\n');
  fs.writeFileSync(STAMP, '');
  fs.utimesSync(STAMP, started, started);
}

/** The files become the program when all of them are there. There are machines that the bundler does not run on. */
function bundle() {
  const unfinished = `${PROGRAM}.new`;
  fs.rmSync(unfinished, { recursive: true, force: true });
  try {
    run(process.execPath, [inRoot('scripts', 'bundle.mjs'), unfinished]);
    fs.renameSync(unfinished, PROGRAM);
  } catch (error) {
    say(`the program will start more slowly, from many files: ${error.message}`);
  }
}

/** Removes compiled files whose source is gone: the compiler leaves them. */
function removeOrphans(outDir, srcDir) {
  for (const entry of fs.readdirSync(outDir, { withFileTypes: true })) {
    const out = path.join(outDir, entry.name);
    const source = path.join(srcDir, entry.name.replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts'));
    if (entry.name === 'package.json' && outDir === LIB) continue;
    if (!fs.existsSync(source)) fs.rmSync(out, { recursive: true });
    else if (entry.isDirectory()) removeOrphans(out, source);
  }
}

function run(command, args, options = {}) {
  // The program's own output may be read by another program, so all of this goes to stderr.
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 2, 2],
    ...options,
  });
  if (status === 0) return;
  throw new Error(
    `${command} ${args.join(' ')} failed: ${error?.message ?? signal ?? `exit code ${status}`}`,
  );
}

function say(text) {
  fs.writeSync(2, `causeway: ${text}\n`);
}

/** Runs `work` while no other process of this clone does the same. */
function exclusively(work) {
  while (!takeLock()) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  try {
    work();
  } finally {
    fs.rmSync(LOCK, { force: true });
  }
}

function takeLock() {
  try {
    fs.writeFileSync(LOCK, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  if (!holderIsAlive()) fs.rmSync(LOCK, { force: true });
  return false;
}

/** No set-up takes so long. */
const LONGEST_MS = 30 * 60 * 1000;

function holderIsAlive() {
  const age = Date.now() - (fs.statSync(LOCK, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  const pid = Number(fs.existsSync(LOCK) ? fs.readFileSync(LOCK, 'utf8') : 0);
  if (pid === 0) return age < 1000; // made this instant, its number not yet written
  // Numbers are given out again: after a crash, above all in a container, even this process may have the holder's.
  if (pid === process.pid || age > LONGEST_MS) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/**
 * Installs and builds what is missing or stale.
 * @param {{ build?: boolean }} options `build: true` compiles even when dist/ looks fresh
 */
function prepare({ build: always = false } = {}) {
  if (!always && isInstalled() && isBuilt()) return;
  exclusively(() => {
    if (!isInstalled()) install();
    if (always || !isBuilt()) build();
  });
}

module.exports = { prepare, isInstalled, isBuilt };

if (require.main === module) {
  try {
    prepare({ build: process.argv.includes('--build') });
  } catch (error) {
    say(error.message);
    process.exitCode = 1;
  }
}
