import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const here = import.meta.dirname;
const execute = promisify(execFile);

/** The recordings of one area. */
export interface Suite {
  readonly area: string;
  readonly file: string;
  readonly scenarios: readonly string[];
}

/** What the runner says of one scenario. */
export interface Result {
  readonly scenario: string;
  readonly ok: boolean;
  readonly diffs: readonly unknown[];
}

/** Scenarios handed to us, and those of our own that a CouchDB 3.5.0 was asked. */
const FOLDERS = ['recordings', 'further'];

export function readSuites(): readonly Suite[] {
  const files = FOLDERS.map((folder) => path.join(here, folder)).flatMap((folder) =>
    readdirSync(folder).map((name) => path.join(folder, name)),
  );
  return files.map((file) => {
    const { area, scenarios } = JSON.parse(readFileSync(file, 'utf8')) as {
      area: string;
      scenarios: readonly { name: string }[];
    };
    return { area, file, scenarios: scenarios.map((scenario) => scenario.name) };
  });
}

/** Scenarios that do not hold yet, `area/scenario`, with the reason. */
export function readPending(): ReadonlyMap<string, string> {
  const text = readFileSync(path.join(here, 'pending.json'), 'utf8');
  return new Map(Object.entries(JSON.parse(text) as Record<string, string>));
}

export interface RunOptions {
  /** Only scenarios whose area and name hold this text. */
  readonly only?: string;
  /** Give up after so many milliseconds. */
  readonly timeout?: number;
}

/** Replays a suite against the server at `url`; nothing is known of scenarios that the time was too short for. */
export async function replay(
  url: string,
  suite: Suite,
  options: RunOptions = {},
): Promise<readonly Result[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'conformance-'));
  const report = path.join(folder, 'report.json');
  const only = options.only === undefined ? [] : ['--only', options.only];
  const args = [path.join(here, 'replay.mjs'), url, suite.file, '--quiet', '--json', report, ...only];
  try {
    await execute(process.execPath, args, { timeout: options.timeout ?? 0, maxBuffer: 64 << 20 }).catch(
      failedOrCut,
    );
    return JSON.parse(await readFile(report, 'utf8').catch(() => '[]')) as readonly Result[];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The runner's exit status 1 says that scenarios failed, which its report says better. */
function failedOrCut(error: unknown): void {
  const { code, killed } = error as { code?: unknown; killed?: boolean };
  if (code !== 1 && killed !== true) throw error;
}

/** Runs jobs, at most `limit` of them at a time. */
export function limited(limit: number): <T>(job: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (job) => {
    if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await job();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}
