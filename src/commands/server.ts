import { readFileSync } from 'node:fs';
import path from 'node:path';
import { FIRST_ADMIN } from '../config/admins.js';
import { exitCodes, StartError } from '../config/exit.js';

/** A running server, and who asks it. */
export interface ServerAccess {
  readonly url: string;
  readonly user: string | undefined;
  readonly passwordFile: string | undefined;
  /** The data directory, in which a first admin's password may lie. */
  readonly data: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Milliseconds. */
const PATIENCE = 10_000;
/** What it asks for may take its time: to empty a large database. */
const LONG_PATIENCE = 600_000;

/**
 * Asks a running server.
 * @param place below its URL
 * @param body JSON text, of a POST
 * @returns the text of an answer that is a success
 * @throws StartError where it does not answer, does not let in who asks, or says no
 */
export async function askServer(
  access: ServerAccess,
  method: 'GET' | 'POST',
  place: string,
  body?: string,
): Promise<string> {
  const { url } = access;
  const answer = await send(access, method, new URL(place, url.endsWith('/') ? url : `${url}/`), body);
  const text = await answer.text();
  if (answer.status === 401 || answer.status === 403)
    throw new StartError([`${url} refuses it: ${reasonIn(text)}`], exitCodes.denied);
  if (answer.status === 404) throw new StartError([reasonIn(text)], exitCodes.noInput);
  if (answer.status < 500 && !answer.ok) throw new StartError([reasonIn(text)], exitCodes.findings);
  if (!answer.ok)
    throw new StartError([`${url} answers with ${answer.status}: ${reasonIn(text)}`], exitCodes.unavailable);
  return text;
}

async function send(access: ServerAccess, method: string, url: URL, body?: string): Promise<Response> {
  const isPost = method === 'POST';
  const headers = {
    authorization: authorization(access),
    accept: 'application/json',
    ...(isPost && { 'content-type': 'application/json' }),
  };
  const signal = AbortSignal.timeout(isPost ? LONG_PATIENCE : PATIENCE);
  try {
    return await fetch(url, { method, headers, redirect: 'error', signal, body: body ?? null });
  } catch (error) {
    const { cause, message } = error as Error;
    const reason = (cause as NodeJS.ErrnoException | undefined)?.code ?? message;
    throw new StartError([`${url.origin} does not answer: ${reason}`], exitCodes.unavailable, {
      cause: error,
    });
  }
}

/** A password never has to stand on the command line, where everybody on the machine sees it. */
function authorization({ user = FIRST_ADMIN, passwordFile, data, env }: ServerAccess): string {
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
