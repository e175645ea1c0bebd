import { CouchError } from '../errors.js';
import { invalidPath } from './invalid-path.js';
import { isObject, type Json, own } from './values.js';

type Pairs = readonly (readonly [name: string, value: string])[];

/** Another request that a `rewrites` function makes of one; what it does not say stays as it is. */
export interface RewrittenRequest {
  /** Relative to the design document; its parts are encoded. */
  readonly path: string;
  readonly query: Pairs | undefined;
  readonly method: string | undefined;
  readonly headers: Pairs;
  readonly body: string | undefined;
}

/** An answer that a `rewrites` function gives itself. */
export interface RewriteAnswer {
  readonly status: number;
  readonly headers: Pairs;
  readonly body: string;
}

const fail = (reason: string): CouchError => new CouchError(500, 'rewrite_error', reason);

/** @param json what the function returned. @throws CouchError 404, 500 as CouchDB answers */
export function readRewrite(json: string): RewrittenRequest | RewriteAnswer {
  const value = JSON.parse(json) as unknown;
  if (value === null || value === '') throw invalidPath('rewrite');
  const given: unknown = typeof value === 'string' ? { path: value } : value;
  if (!isObject(given)) throw fail('bad rewrite');
  const query = own(given, 'query') === undefined ? undefined : pairs(given, 'query');
  const headers = own(given, 'headers') === undefined ? [] : pairs(given, 'headers');
  const method = text(given, 'method');
  const body = text(given, 'body');
  const code = own(given, 'code');
  if (code !== undefined) {
    if (!Number.isInteger(code) || Number(code) < 200 || Number(code) > 999) throw fail('bad code');
    return { status: Number(code), headers, body: body ?? '' };
  }
  const path = text(given, 'path');
  if (path === undefined) throw fail('Rewrite result must produce a new path.');
  return { path, query, method, headers, body };
}

function text(given: Json, name: string): string | undefined {
  const value = own(given, name);
  if (value !== undefined && typeof value !== 'string') throw fail(`bad ${name}`);
  return value;
}

function pairs(given: Json, name: string): Pairs {
  const value = own(given, name);
  if (!isObject(value)) throw fail(`bad ${name}`);
  return Object.entries(value).map(([key, one]) => {
    if (typeof one !== 'string') {
      throw fail(`object key/value must be strings ${JSON.stringify(key)}=${JSON.stringify(one)}`);
    }
    return [key, one];
  });
}
