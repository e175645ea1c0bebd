import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { prepare } from '../../../scripts/setup.cjs';
import { type Program, startProcess } from '../../support/server.js';
import { until } from './wait.js';

/** A system call of a traced process, between the lines of the trace where it began and where it ended. */
export interface Call {
  readonly name: string;
  readonly args: string;
  readonly result: string;
  /** Number of the line at which it began. */
  readonly began: number;
  /** Number of the line at which it was over. */
  readonly ended: number;
}

const MAIN = path.resolve(import.meta.dirname, '../../../dist/main.js');

const WHOLE = /^(\d+) +(\w+)\((.*)\) += (.*)$/s;
const BEGIN = /^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$/s;
const END = /^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (.*)$/s;

/**
 * Reads what `strace -f` wrote. strace stops a thread before and after each call and writes one line at a time, so
 * the order of the lines is an order in which it all happened.
 */
export function parseTrace(text: string): Call[] {
  const calls: Call[] = [];
  const open = new Map<string, { name: string; args: string; began: number }>();
  for (const [line, content] of text.split('\n').entries()) {
    const whole = WHOLE.exec(content);
    const begin = BEGIN.exec(content);
    const end = END.exec(content);
    if (begin) {
      const [, thread = '', name = '', args = ''] = begin;
      open.set(thread, { name, args, began: line });
    } else if (end) {
      const [, thread = '', name = '', args = '', result = ''] = end;
      const opened = open.get(thread);
      open.delete(thread);
      if (opened?.name === name) calls.push({ ...opened, args: opened.args + args, result, ended: line });
    } else if (whole) {
      const [, , name = '', args = '', result = ''] = whole;
      calls.push({ name, args, result, began: line, ended: line });
    }
  }
  return calls.sort((a, b) => a.began - b.began);
}

/** Something that has to be on the disk before an answer leaves. */
export type Needed =
  /**
   * Text in a log of LevelDB, followed by a sync of that log. Only this request's data has the text; or this request
   * is the last one to write it.
   */
  | { readonly inLog: string; readonly last?: true }
  /** A folder that was made, or that got another name: followed by a sync of the folder that it stood in. */
  | { readonly made: string }
  | { readonly renamed: string }
  /** A text in a draft of a file, followed by a sync of it; then it gets the file's name, as a folder would. */
  | { readonly inFile: string; readonly file: string };

/** A write that was answered. */
export interface Acknowledged {
  /** What was asked, for the message. */
  readonly what: string;
  /** The id that the server gave to the request, which stands in the answer's head. */
  readonly requestId: string;
  readonly needs: readonly Needed[];
}

/** What is wrong with the order of writing, syncing and answering; empty where nothing is. */
export function violations(calls: readonly Call[], acknowledged: readonly Acknowledged[]): string[] {
  const syncs = calls.filter((call) => isSync(call) && call.result.startsWith('0'));
  return acknowledged.flatMap(({ what, requestId, needs }) => {
    const answer = calls.find(
      (call) => isWrite(call) && isSocket(targetOf(call)) && call.args.includes(requestId),
    );
    if (!answer) return [`${what}: its answer is not in the trace`];
    const causes = needs.flatMap((needed) => causesOf(calls, needed).map((cause) => ({ needed, ...cause })));
    return causes.flatMap(({ needed, target, cause }) => {
      if (!cause) return [`${what}: the trace has no write of ${JSON.stringify(needed)}`];
      const synced = syncs.some(
        (sync) => targetOf(sync) === target && sync.began > cause.ended && sync.ended < answer.began,
      );
      return synced
        ? []
        : [`${what}: answered before a sync of ${path.basename(target)} with ${JSON.stringify(needed)}`];
    });
  });
}

/** A call that put something where a sync has to make it durable, and what has to be synced. */
interface Cause {
  readonly target: string;
  readonly cause: Call | undefined;
}

function causesOf(calls: readonly Call[], needed: Needed): readonly Cause[] {
  if ('inLog' in needed) {
    const writes = calls.filter(
      (call) => isWrite(call) && isLog(targetOf(call)) && call.args.includes(needed.inLog),
    );
    const cause = writes.at(needed.last ? -1 : 0);
    return [{ target: cause ? targetOf(cause) : '', cause }];
  }
  if ('inFile' in needed) {
    const { inFile, file } = needed;
    const written = calls.find(
      (call) => isWrite(call) && targetOf(call).startsWith(`${file}.`) && call.args.includes(inFile),
    );
    const draft = written ? targetOf(written) : '';
    return [{ target: draft, cause: written }, namingOf(calls, 'rename', draft, path.dirname(file))];
  }
  const [kind, name] = 'made' in needed ? ['mkdir', needed.made] : ['rename', needed.renamed];
  return [namingOf(calls, kind, name, path.dirname(name))];
}

/** The call that changed the entry of a folder. */
function namingOf(calls: readonly Call[], kind: string, name: string, target: string): Cause {
  const cause = calls.find(
    (call) => call.name.startsWith(kind) && call.args.includes(`"${name}"`) && call.result.startsWith('0'),
  );
  return { target, cause };
}

/** How many syncs of a log it took from the first write of some texts to the sync of the last. */
export function syncsFor(calls: readonly Call[], texts: readonly string[]): number {
  const writes = calls.filter(
    (call) => isWrite(call) && isLog(targetOf(call)) && texts.some((text) => call.args.includes(text)),
  );
  const [first, last] = [writes[0], writes.at(-1)];
  if (!first || !last) return 0;
  const syncs = calls.filter((call) => isSync(call) && targetOf(call) === targetOf(first));
  const between = syncs.filter(({ began }) => began > first.began && began < last.began);
  return between.length + (syncs.some(({ began }) => began > last.ended) ? 1 : 0);
}

/** The file or socket that the first argument of a call stands for. */
const targetOf = ({ args }: Call): string => /^\d+<([^>]*)>/.exec(args)?.[1] ?? '';

const isSync = ({ name }: Call): boolean => name === 'fdatasync' || name === 'fsync';

const isWrite = ({ name }: Call): boolean => ['write', 'writev', 'sendto', 'sendmsg'].includes(name);

/** LevelDB's logs are named by a number. */
const isLog = (file: string): boolean => /\/\d+\.log$/.test(file);

const isSocket = (target: string): boolean => target.startsWith('socket:') || target.startsWith('TCP');

const TRACED = 'fdatasync,fsync,write,writev,sendto,sendmsg,mkdir,mkdirat,rename,renameat,renameat2';

/** Why strace cannot be used here; undefined where it can. */
export async function whyNoStrace(): Promise<string | undefined> {
  try {
    const probe = startProcess('strace', [
      '-f',
      '--seccomp-bpf',
      '-e',
      'trace=fsync',
      '-o',
      '/dev/null',
      'true',
    ]);
    const how = await probe.ended;
    return how === 0 ? undefined : `strace ended with ${how}: ${probe.stderr.trim()}`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      return 'strace is not installed (apt-get install strace)';
    throw error;
  }
}

/** A gateway whose system calls are written down. */
export interface TracedGateway {
  readonly url: string;
  /** Ends it and returns what it did. */
  stop(): Promise<Call[]>;
}

/** Microseconds that each sync takes longer: what is written meanwhile can share the next one, on any disk. */
const SYNC_DELAY = 20_000;

/** Starts the program below strace, with the trace in `file`. */
export async function startTraced(
  args: readonly string[],
  file: string,
  env: Record<string, string>,
): Promise<TracedGateway> {
  prepare();
  const slow = `inject=fsync,fdatasync:delay_exit=${String(SYNC_DELAY)}`;
  const what = ['-y', '-s', '1000000', '-e', `trace=${TRACED}`, '-e', slow];
  const tracing = ['-f', '--seccomp-bpf', ...what, '-o', file];
  const program = startProcess(
    'strace',
    [...tracing, process.execPath, MAIN, 'serve', '--port', '0', ...args],
    { env },
  );
  const [, url = ''] = await program.printed('stdout', /ready at (\S+?);/);
  return {
    url,
    async stop() {
      // strace itself would let go of the program and leave it running.
      process.kill(await childOf(program), 'SIGTERM');
      const how = await program.ended;
      if (how !== 0) throw new Error(`the traced gateway ended with ${how}:\n${program.stderr}`);
      return parseTrace(await readFile(file, 'utf8'));
    },
  };
}

/** Starts the program below strace, which kills it when it is about to rename `folder`. @returns how it ended */
export async function startKilled(args: readonly string[], folder: string): Promise<number | NodeJS.Signals> {
  prepare();
  const calls = 'rename,renameat,renameat2';
  const tracing = ['-f', '-P', folder, '-e', `trace=${calls}`, '-e', `inject=${calls}:signal=SIGKILL`];
  const program = startProcess('strace', [
    ...tracing,
    '-o',
    '/dev/null',
    process.execPath,
    MAIN,
    'serve',
    '--port',
    '0',
    ...args,
  ]);
  return await program.ended;
}

async function childOf({ pid }: Program): Promise<number> {
  return await until('strace has a child', async () => {
    const children = await readFile(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8');
    return Number(children.trim().split(' ')[0]) || undefined;
  });
}
