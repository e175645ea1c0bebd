import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { prepare } from '../../scripts/setup.cjs';
import { startProcess } from '../support/server.js';
import { newFolder } from '../support/store.js';
import { parseTrace, whyNoStrace } from '../system/support/strace.js';

const obstacle = await whyNoStrace();
const isHere = obstacle === undefined || process.env.CI === 'true';

/** Writes in every way, and says what was answered. */
const PROGRAM = (library: string, dir: string): string => `
import { writeSync } from 'node:fs';
import { openDatabase } from ${JSON.stringify(library)};
const db = openDatabase(${JSON.stringify(dir)});
const answered = (text) => writeSync(1, 'answered ' + text + '\\n');
await db.put({ _id: 'put-one', text: 'text-of-put' });
answered('text-of-put');
await db.bulkDocs([{ _id: 'bulk-one', text: 'text-of-bulk' }]);
answered('text-of-bulk');
await db.bulkDocs([{ _id: 'replicated', _rev: '1-a', text: 'text-of-replicated' }], { new_edits: false });
answered('text-of-replicated');
await db.put({ _id: '_local/one', text: 'text-of-local' });
answered('text-of-local');
await db.putAttachment('file', 'name', Buffer.from('bytes-of-attachment'), 'text/plain');
answered('bytes-of-attachment');
await db.close();
`;

it.runIf(isHere)('answers a write when the log that holds it is synced', async () => {
  prepare();
  const folder = await newFolder();
  const [program, trace] = [join(folder, 'program.mjs'), join(folder, 'trace')];
  const library = pathToFileURL(join(import.meta.dirname, '../../dist/lib/library.js')).href;
  await writeFile(program, PROGRAM(library, join(folder, 'db')));
  const tracing = ['-f', '-y', '-s', '100000', '--seccomp-bpf', '-e', 'trace=fdatasync,write', '-o', trace];
  const traced = startProcess('strace', [...tracing, process.execPath, program]);
  expect([await traced.ended, traced.stderr]).toEqual([0, '']);
  const answers = traced.stdout.trim().split('\n');
  expect(answers).toHaveLength(5);

  const calls = parseTrace(await readFile(trace, 'utf8'));
  for (const answer of answers) {
    const text = answer.replace('answered ', '');
    const file = (args: string): string => /^\d+<([^>]*)>/.exec(args)?.[1] ?? '';
    const logged = calls.find(
      ({ name, args }) => name === 'write' && /\/\d+\.log$/.test(file(args)) && args.includes(text),
    );
    const said = calls.find(({ name, args }) => name === 'write' && args.includes(answer));
    const synced = calls.some(
      ({ name, args, began, ended, result }) =>
        name === 'fdatasync' &&
        result.startsWith('0') &&
        file(args) === file(logged?.args ?? '') &&
        began > (logged?.ended ?? Infinity) &&
        ended < (said?.began ?? 0),
    );
    expect([text, synced]).toEqual([text, true]);
  }
});
