#!/usr/bin/env node
// What stands in dist/ as main.js: the program's first instruction.
// libuv reads the size of its thread pool once, when the pool is first used, and the loader of ES modules
// uses it to read files. So the size is set here, in CommonJS, before any ES module is loaded. The default
// of 4 threads is too few: every LevelDB read and write and every password hash takes one.
'use strict';
const { existsSync } = require('node:fs');
const { join } = require('node:path');

process.env.UV_THREADPOOL_SIZE ??= '24';
const isBundled = existsSync(join(__dirname, 'program', 'main.mjs'));
import(isBundled ? './program/main.mjs' : './lib/main.js').then(({ main }) => main(process.argv.slice(2)));
