#!/usr/bin/env node
// The Debian packages that some tests need. With CI=true the missing ones are installed; elsewhere that is
// left to the owner of the machine, and the tests that need them are skipped.
'use strict';
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

/** Package names by the commands that they bring. */
const TOOLS = { chromium: 'chromium', haproxy: 'haproxy', strace: 'strace' };

function isThere(command) {
  const folders = (process.env.PATH ?? '').split(path.delimiter);
  return folders.some((folder) => folder !== '' && fs.existsSync(path.join(folder, command)));
}

function run(command) {
  const { status, error } = spawnSync(command[0], command.slice(1), {
    stdio: ['ignore', 2, 2],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  if (status !== 0) throw new Error(`${command.join(' ')} failed${error ? `: ${error.message}` : ''}`);
}

const packages = Object.entries(TOOLS).flatMap(([command, name]) => (isThere(command) ? [] : [name]));
if (packages.length > 0) {
  const asRoot = process.getuid?.() === 0 ? [] : ['sudo'];
  const install = [...asRoot, 'apt-get', 'install', '--yes', '--no-install-recommends', ...packages];
  if (process.env.CI === 'true') {
    run([...asRoot, 'apt-get', 'update']);
    run(install);
  } else {
    console.error(`causeway: tests that need ${packages.join(' and ')} are skipped; to run them too:`);
    console.error(`  ${install.join(' ')}`);
  }
}
