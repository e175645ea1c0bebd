import { readFileSync } from 'node:fs';
import { badConfig } from './layers.js';
import type { Config } from './schema.js';

/** The upstream with what its files say. */
export interface UpstreamTarget {
  /** Ends with a slash and holds no credentials. */
  readonly url: string;
  readonly username: string | undefined;
  /** The Authorization header of the gateway's own account. */
  readonly authorization: string | undefined;
  /** Certificates that are trusted instead of those of the system, PEM. */
  readonly ca: string | undefined;
  /** Signs who sends a request, for CouchDB's proxy authentication. */
  readonly proxySecret: string | undefined;
}

/** Undefined where there is no upstream. @throws StartError for a file that cannot be read, or has nothing in it */
export function upstreamTarget({ upstream }: Pick<Config, 'upstream'>): UpstreamTarget | undefined {
  if (upstream.url === undefined) return undefined;
  const url = new URL(upstream.url);
  const username = upstream.username ?? (url.username === '' ? undefined : decodeURIComponent(url.username));
  const password = lineOf(upstream.passwordFile, 'upstream.passwordFile') ?? upstream.password;
  url.username = '';
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return {
    url: url.href,
    username,
    authorization: username === undefined ? undefined : basic(username, password ?? ''),
    ca: contentOf(upstream.caFile, 'upstream.caFile'),
    proxySecret: lineOf(upstream.proxySecretFile, 'upstream.proxySecretFile'),
  };
}

const basic = (name: string, password: string): string =>
  `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;

function lineOf(file: string | undefined, key: string): string | undefined {
  return contentOf(file, key)?.replace(/\r?\n$/, '');
}

function contentOf(file: string | undefined, key: string): string | undefined {
  if (file === undefined) return undefined;
  let text;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw badConfig([`${key}: ${file} cannot be read: ${(error as Error).message}`], error);
  }
  if (text.trim() === '') throw badConfig([`${key}: ${file} is empty`]);
  return text;
}
