import { readFileSync } from 'node:fs';
import path from 'node:path';
import { FIRST_ADMIN } from '../config/admins.js';
import { exitCodes, StartError } from '../config/exit.js';

export interface StatusCommand {
  /** Of the server. */
  readonly url: string;
  readonly user: string | undefined;
  readonly passwordFile: string | undefined;
  /** The data directory, in which a first admin's password may lie. */
  readonly data: string;
  readonly env: NodeJS.ProcessEnv;
  readonly json: boolean;
}

/** Milliseconds. */
const PATIENCE = 10_000;

/**
 * Asks a running server how it is, and prints that.
 * @throws StartError where it does not answer, or does not let in who asks
 */
export async function status(command: StatusCommand): Promise<void> {
  const { url } = command;
  const answer = await ask(new URL('_gateway/status', url.endsWith('/') ? url : `${url}/`), command);
  const text = await answer.text();
  if (answer.status === 401 || answer.status === 403)
    throw new StartError([`${url} refuses to say it: ${reasonIn(text)}`], exitCodes.denied);
  if (!answer.ok) throw new StartError([`${url} answers with ${answer.status}`], exitCodes.unavailable);
  process.stdout.write(command.json ? text : shown(JSON.parse(text) as Shown));
}

async function ask(url: URL, command: StatusCommand): Promise<Response> {
  const headers = { authorization: authorization(command), accept: 'application/json' };
  try {
    return await fetch(url, { headers, redirect: 'error', signal: AbortSignal.timeout(PATIENCE) });
  } catch (error) {
    const { cause, message } = error as Error;
    const reason = (cause as NodeJS.ErrnoException | undefined)?.code ?? message;
    throw new StartError([`${url.origin} does not answer: ${reason}`], exitCodes.unavailable, {
      cause: error,
    });
  }
}

/** A password never has to stand on the command line, where everybody on the machine sees it. */
function authorization({ user = FIRST_ADMIN, passwordFile, data, env }: StatusCommand): string {
  const password = env.CAUSEWAY_PASSWORD ?? lineOf(passwordFile ?? path.join(data, 'admin-password'));
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

function lineOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new StartError(
      [`there is no password: neither CAUSEWAY_PASSWORD is set, nor can ${file} be read`],
      exitCodes.noInput,
      { cause: error },
    );
  }
}

function reasonIn(text: string): string {
  try {
    return String((JSON.parse(text) as { reason?: unknown }).reason);
  } catch {
    return 'no reason given';
  }
}

interface Shown {
  readonly version: string;
  readonly uptime: number;
  readonly databases: { readonly local: number };
  readonly upstream: {
    readonly url: string;
    readonly state: string;
    readonly since: string;
    readonly reason: string | null;
    readonly counters: Readonly<Record<string, number>>;
  } | null;
}

function shown({ version, uptime, databases, upstream }: Shown): string {
  const lines = [`Causeway ${version}, running for ${uptime} s, ${databases.local} databases here`];
  if (upstream === null) lines.push('no upstream');
  else {
    const { url, state, since, reason, counters } = upstream;
    lines.push(`upstream ${url}: ${state} since ${since}${reason === null ? '' : `: ${reason}`}`);
    lines.push(
      Object.entries(counters)
        .map(([name, count]) => `${count} ${name}`)
        .join(', '),
    );
  }
  return `${lines.join('\n')}\n`;
}
