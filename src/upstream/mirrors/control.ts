import { isDeepStrictEqual } from 'node:util';
import { CouchError, forbidden } from '../../errors.js';
import { refusalOf } from '../../auth/rights.js';
import { parseSecurity, type SecurityObject } from '../../auth/security.js';
import type { HttpRequest } from '../../replication/http/client.js';
import { isMissing } from '../../replication/http/peer.js';
import { accountOf } from '../probe.js';
import type { MirrorContext } from './context.js';
import type { Mirror } from './mirror.js';
import { isStuck } from './state.js';
import { surely } from '../surely.js';

/** What concerns a database as a whole is done upstream first: what the upstream refuses does not happen here either. */

type Asked = Pick<HttpRequest, 'method' | 'body'> & { readonly path?: string };

/** @throws CouchError; 403 for what the account of the gateway may not do, which says nothing of whoever asks here */
export async function ask(
  { upstream }: Pick<MirrorContext, 'upstream'>,
  name: string,
  { path = '', ...request }: Asked,
  signal: AbortSignal,
): Promise<unknown> {
  try {
    return await upstream.ask({ ...request, path: `${encodeURIComponent(name)}${path}`, signal });
  } catch (error) {
    const refusal = await refusalIn(error, upstream, name, signal);
    if (refusal === undefined) throw error;
    throw forbidden(`The upstream refuses this to the account of the gateway: ${refusal}`);
  }
}

/** What a CouchDB answers by 500 where none of its shards lets somebody set a security object, among other things. */
const UNCLEAR = 'no_majority';

/** Why the account may not do something, in the words of the upstream; undefined where it failed for something else. */
async function refusalIn(
  error: unknown,
  upstream: MirrorContext['upstream'],
  name: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (!(error instanceof CouchError)) return undefined;
  if (error.status === 401 || error.status === 403) return error.reason || error.error;
  if (!(error.cause instanceof CouchError) || error.cause.reason !== UNCLEAR) return undefined;
  const { name: account, roles } = accountOf(await upstream.ask({ method: 'GET', path: '_session', signal }));
  const user = { name: typeof account === 'string' ? account : null, roles };
  return refusalOf('databaseAdmin', user, await upstream.securityOf(name))?.reason;
}

/** Nobody may read it but server admins, where the account may not know who else. */
const CLOSED = '{"admins":{"roles":["_admin"]},"members":{"roles":["_admin"]}}';

/** Has the database here grant what the one upstream grants. @throws CouchError */
export async function copySecurity(mirror: Mirror, signal: AbortSignal): Promise<void> {
  const { context, name } = mirror;
  const before = await context.databases.use(name, (db) => db.security);
  const read = (): Promise<string | undefined> => securityText(context, name, signal);
  // Whoever is shut out for a moment may not come back.
  const found = before === CLOSED ? await read() : await surely(read, (text) => text === undefined, signal);
  const text = found ?? CLOSED;
  await context.databases.use(name, async (db) => {
    // Whoever set it meanwhile set it upstream first, which may be newer than what was read.
    if (db.security === before && before !== text) await db.setSecurity(text);
  });
  // What it was is remembered for some seconds.
  context.upstream.forget(name);
  if (found === undefined) mirror.doubt();
  else mirror.trust();
}

/** What says nothing of who may read a database. */
const UNSAID = new Set([401, 404, 408, 413, 425, 429]);

/** Undefined where the account may not know it. @throws CouchError */
async function securityText(
  { upstream }: MirrorContext,
  name: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const path = `${encodeURIComponent(name)}/_security`;
    const security = await upstream.ask({ method: 'GET', path, signal });
    parseSecurity(security);
    return JSON.stringify(security);
  } catch (error) {
    if (!(error instanceof CouchError) || error.status >= 500 || UNSAID.has(error.status)) throw error;
    return undefined;
  }
}

export async function isPartitioned({ context, name }: Mirror, signal: AbortSignal): Promise<boolean> {
  const info = (await ask(context, name, { method: 'GET' }, signal)) as { props?: { partitioned?: unknown } };
  return info.props?.partitioned === true;
}

/**
 * Makes the database upstream that was made here while the upstream was away. Where it was asked to before, and nobody
 * knows what came of that, one that is there and that nobody has used yet is taken for what came of it.
 * @returns false where there is another one
 */
export async function createUpstream(
  mirror: Mirror,
  parameters: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<boolean> {
  const { context, name } = mirror;
  const security = await context.databases.use(name, (db) => db.security);
  const isAgain = mirror.record.isAsked === true;
  if (!isAgain) await mirror.note({ isAsked: true });
  try {
    await put(context, name, parameters, signal);
  } catch (error) {
    if (!(error instanceof CouchError) || error.status !== 412) throw error;
    if (!isAgain || !(await isUnused(mirror, security, signal))) return false;
  }
  await ask(context, name, { method: 'PUT', path: '/_security', body: security }, signal);
  await mirror.note({ toCreate: undefined, isAsked: undefined });
  return true;
}

/** Whether an upstream database holds nothing, and is as it was made, or has our security object. */
async function isUnused({ context, name }: Mirror, security: string, signal: AbortSignal): Promise<boolean> {
  const info = Object(await ask(context, name, { method: 'GET' }, signal)) as Record<string, unknown>;
  if (info.doc_count !== 0 || info.doc_del_count !== 0) return false;
  const theirs = await ask(context, name, { method: 'GET', path: '/_security' }, signal);
  return isDeepStrictEqual(theirs, JSON.parse(security)) || isAsMade(parseSecurity(theirs));
}

/** Servers give a new database to nobody in particular: to their admins, or to everybody. */
const isAsMade = ({ admins, members }: SecurityObject): boolean =>
  [admins, members].every(
    ({ names, roles }) => names.size === 0 && [...roles].every((role) => role === '_admin'),
  );

/** @throws CouchError 412 where there is one */
export async function put(
  context: Pick<MirrorContext, 'upstream'>,
  name: string,
  parameters: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  const query = new URLSearchParams(parameters).toString();
  await ask(context, name, { method: 'PUT', path: query === '' ? '' : `?${query}` }, signal);
}

/** Deletes an upstream database. @returns false where there is none. @throws CouchError */
export async function removeUpstream(
  context: Pick<MirrorContext, 'upstream'>,
  name: string,
  signal: AbortSignal,
): Promise<boolean> {
  const remove = async (): Promise<boolean> => {
    try {
      await ask(context, name, { method: 'DELETE' }, signal);
      return true;
    } catch (error) {
      if (!isMissing(error)) throw error;
      return false;
    }
  };
  // Whoever gets a database of this name later would find in it what was not deleted.
  return surely(remove, (isRemoved) => !isRemoved, signal);
}

/** @throws CouchError 403 */
export function requireDeletable(
  { allowDelete }: { readonly allowDelete: boolean },
  isPartial: boolean,
): void {
  if (isPartial) throw forbidden('Only a part of this database is here: delete it upstream.');
  if (!allowDelete)
    throw forbidden(
      'This database is a mirror: delete it upstream, or have an admin set upstream.allowDelete.',
    );
}

/**
 * Does upstream what is about to be done here, unless the two never had to do with each other.
 * @throws CouchError 409 where the upstream database is not the one that is known: it may be there again at any moment, and
 * would bring back what was done here alone
 */
export async function doUpstream(
  { context, name, record, standing }: Mirror,
  request: Asked,
  signal: AbortSignal,
): Promise<unknown> {
  if (record.upstream === undefined) return undefined;
  if (isStuck(standing.state))
    throw new CouchError(
      409,
      'conflict',
      `${standing.reason ?? ''} What becomes of the mirror is to be decided first.`.trim(),
    );
  return ask(context, name, request, signal);
}
