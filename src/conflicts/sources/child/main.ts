import { Worker } from 'node:worker_threads';
import type { Ask, Begin, Said } from '../protocol.js';
import { keepLanguage } from './globals.js';

/** A process that runs the merge function of a module; see module-process.ts. */

/** What it may log for one conflict. */
const MOST_LINES = 100;
const LONGEST_LINE = 8192;

// What the module does to the objects that everybody has is not to change what happens here.
const { parse, stringify } = JSON;
const send = process.send?.bind(process);
const listen = process.on.bind(process);
const exit = process.exit.bind(process);

let lines: string[] = [];

const log = (...values: readonly unknown[]): void => {
  if (lines.length >= MOST_LINES) return;
  const line = values.map((value) => (typeof value === 'string' ? value : spell(value))).join(' ');
  lines.push(line.slice(0, LONGEST_LINE));
};

/** A text for any value. */
function spell(value: unknown): string {
  try {
    if (value instanceof Error) return `${value.name}: ${value.message}`;
    return typeof value === 'object' ? stringify(value) : `${value as number}`;
  } catch {
    return 'something that cannot be shown';
  }
}

async function say(make: () => Promise<Pick<Said, 'answer'>>): Promise<void> {
  let said: Omit<Said, 'log'>;
  try {
    said = await make();
  } catch (error) {
    said = { failure: spell(error) };
  }
  send?.({ ...said, log: lines } satisfies Said);
  lines = [];
}

type Merge = (conflict: unknown) => unknown;

async function load(url: string): Promise<Merge> {
  const module = await found(url);
  if (typeof module.default !== 'function') throw new TypeError('the module exports no function by default');
  return module.default as Merge;
}

/** Why it fails is shown to whoever may read the documents, and errors of files name their paths. */
async function found(url: string): Promise<{ readonly default?: unknown }> {
  try {
    return (await import(url)) as { readonly default?: unknown };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (typeof code !== 'string') throw error;
    throw new Error(`the module, or one that it imports, cannot be read: ${code}`, { cause: error });
  }
}

async function answer(merge: Merge, conflict: string, mostCharacters: number): Promise<{ answer: string }> {
  const returned = await merge(parse(conflict));
  // A function, and nothing at all, have no JSON.
  const text = (stringify(returned) as string | undefined) ?? 'null';
  if (text.length > mostCharacters) throw new RangeError('what it returned is too long');
  return { answer: text };
}

let merge: Merge | undefined;
let most = 0;

listen('disconnect', () => exit());
// A terminal, or a service manager, tells all processes at once to end; what the function is asked would fail for that, and its
// document stay in conflict for good. The server ends it when it has done with it.
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM']) listen(signal, () => undefined);
listen('message', (told: Begin | Ask) => {
  if (typeof told === 'string') {
    const run = merge;
    if (run !== undefined) void say(() => answer(run, told, most));
    return;
  }
  most = told.mostCharacters;
  void say(async () => {
    merge = await load(told.url);
    return {};
  });
});

// Who the server is can be told now: it has said nothing yet that takes long, and may be gone when the thread has begun.
new Worker(new URL('./watchdog.js', import.meta.url), { workerData: process.ppid }).unref();
keepLanguage(log);
