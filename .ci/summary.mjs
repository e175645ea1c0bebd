// Sums the reports of vitest in a folder, and ends with 1 when anything failed.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const [folder = '.'] = process.argv.slice(2);
const strict = process.env.CI === 'true';
let passed = 0;
const failures = [];
const reportsWithFailures = new Set();

for (const name of readdirSync(folder).filter((file) => file.endsWith('.json'))) {
  const before = failures.length;
  for (const result of JSON.parse(readFileSync(path.join(folder, name), 'utf8')).testResults) count(result);
  if (failures.length > before) reportsWithFailures.add(name);
}

for (const line of readLines('failed-steps')) {
  const [report = '', title = ''] = line.split('\t');
  if (!reportsWithFailures.has(report)) failures.push(`step: ${title}`);
}

for (const failure of failures) console.log(`failed: ${failure}`);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length > 0 ? 1 : 0;

/** Counts the tests of one file. */
function count({ name: file, assertionResults: tests, message }) {
  // A file that cannot even be loaded has no tests.
  if (tests.length === 0) failures.push(`${file}: ${message || 'no tests'}`);
  for (const { status, fullName, failureMessages } of tests) {
    if (status === 'passed') passed += 1;
    else if (status === 'failed') failures.push(`${fullName}: ${reasonIn(failureMessages)}`);
    else if (strict && !fullName.includes('COUCHDB_URL')) failures.push(`skipped: ${fullName}`);
  }
}

/** What was expected, and the place where it was not so, on one line. */
function reasonIn([message = '']) {
  const lines = message.split('\n');
  const place = lines.find((line) => /test\/.*:\d+:\d+/.test(line))?.trim() ?? '';
  return `${lines[0]} ${place.replace(/.*(test\/)/, '$1').replace(')', '')}`.slice(0, 500);
}

function readLines(name) {
  const file = path.join(folder, name);
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
}
