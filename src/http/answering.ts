import type { FastifyReply, FastifyRequest } from 'fastify';
import { requireRight, type Right } from '../auth/rights.js';
import { securityOf } from '../auth/security.js';
import { isServerAdmin } from '../auth/usercontext.js';
import { USERS } from '../auth/users/ids.js';
import { badRequest, forbidden, notFound, unauthorized, unavailable } from '../errors.js';
import type { Admission } from '../upstream/mirrors/mirrors.js';
import { ClientGone, requireContentType } from './body.js';
import { errorBody, methodNotAllowed } from './errors.js';
import { Exchange, type Rewriting } from './exchange.js';
import { refuseForgery } from './forgery.js';
import { passOn } from './passing.js';
import { isReading, isWriting } from './reading.js';
import { letEnd, refuse } from './refusals.js';
import type { Answer, Operation, Resource, ServerHandler } from './resource.js';
import { seenBy } from './seen.js';
import type { Server } from './server.js';
import { refuseMoved } from './stickiness.js';
import { hasTurn } from './turns.js';
import { canonicalUrl, isWellEncoded } from './url.js';

/** How requests are answered: by whom, with which rights, and where. */

/** Databases whose names begin with an underscore; other such names are for server admins. */
const SYSTEM_DATABASES = new Set(['_users', '_replicator', '_global_changes']);

/** Rights that do not depend on a database are judged before it is looked for. */
const WITHOUT_DATABASE: ReadonlySet<Right> = new Set<Right>([
  'anyone',
  'authenticated',
  'serverAdmin',
  'metrics',
]);

/** Has the resource of its path answer a request. */
export async function answerRequest(
  server: Server,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  reply.hijack();
  const found = server.resources.find(request.raw.url ?? '/');
  if (found === undefined) {
    refuse(reply.raw, notFound(), server.config.limits.progressTimeout);
    return;
  }
  if (!(await hasTurn(request.raw.socket, reply.raw))) return;
  const { resource, params } = found;
  const exchange = new Exchange(server, request.raw, reply.raw, params, request.query as string);
  await serve(exchange, resource);
}

/** Answers one request, whatever happens. */
async function serve(exchange: Exchange, resource: Resource): Promise<void> {
  const { server, request, response } = exchange;
  const start = server.config.log.requests ? performance.now() : 0;
  try {
    await answer(exchange, resource);
  } catch (error) {
    if (!(error instanceof ClientGone)) failSafely(exchange, error);
  }
  letEnd(request, server.config.limits.progressTimeout);
  if (server.config.log.requests) {
    const fields = {
      request: exchange.id,
      method: request.method,
      url: request.url,
      status: response.statusCode,
    };
    server.log.info(
      { ...fields, user: exchange.user.name, ms: Math.round(performance.now() - start) },
      'request',
    );
  }
}

function failSafely(exchange: Exchange, error: unknown): void {
  try {
    exchange.fail(error);
  } catch (second) {
    exchange.server.report(exchange, second);
    exchange.response.destroy();
  }
}

async function answer(exchange: Exchange, resource: Resource): Promise<void> {
  const { server, request } = exchange;
  if (server.closing) throw unavailable('the server is stopping');
  if (!isWellEncoded(request.url ?? '')) throw badRequest('invalid_url_encoding');
  if (exchange.method === 'OPTIONS') {
    const granted = server.cors.preflight(request);
    if (granted !== undefined) {
      exchange.response
        .writeHead(204, [...granted, 'X-Couch-Request-ID', exchange.id, 'Server', server.name])
        .end();
      return;
    }
  }
  refuseMoved(exchange);
  const { user, method, renewedCookie } = await server.auth.authenticate(request.headers, exchange);
  exchange.user = user;
  exchange.authMethod = method;
  exchange.renewedCookie = renewedCookie;
  requireValidUser(exchange, resource);
  await operate(exchange, resource);
}

/** Does what is asked for, or what the request is rewritten to. */
async function operate(exchange: Exchange, resource: Resource): Promise<void> {
  refuseForgery(exchange);
  const operation = operationFor(resource, exchange.method);
  if (exchange.rewrites > 0) requireHarmless(operation);
  if (resource.path.startsWith('/:db')) await operateWhereItIs(exchange, resource, operation);
  else if (operation.on === 'database') await operateOnlyHere(exchange, resource, operation);
  else await operateHere(exchange, resource, operation);
  if (exchange.rewriting !== undefined) await goOn(exchange, exchange.rewriting);
}

/** Answers a request for a database here or at the upstream. */
async function operateWhereItIs(exchange: Exchange, resource: Resource, operation: Operation): Promise<void> {
  const { mirrors } = exchange.server;
  const name = exchange.param('db');
  // What makes or deletes a mirrored database does so in both places.
  if (operation.on === 'server' && mirrors.isMirrored(name)) {
    await operateHere(exchange, resource, operation);
    return;
  }
  const admitted = mirrors.admit(name, !isReading(exchange.method, resource.path));
  const admission = admitted instanceof Promise ? await admitted : admitted;
  try {
    const isAnswered = admission.place === 'there' && (await pass(exchange, resource, operation, admission));
    if (!isAnswered) await operateHere(exchange, resource, operation);
  } finally {
    admission.leave();
  }
}

/** Answers a request of ours for a database, of which the upstream knows nothing. @throws CouchError 404 where it is there */
async function operateOnlyHere(exchange: Exchange, resource: Resource, operation: Operation): Promise<void> {
  const admission = await exchange.server.mirrors.admit(
    exchange.param('db'),
    !isReading(exchange.method, resource.path),
  );
  try {
    if (admission.place === 'here') await operateHere(exchange, resource, operation);
    else {
      await requireRightAbout(exchange, operation.right);
      throw notFound('The database is at the upstream, and not here.');
    }
  } finally {
    admission.leave();
  }
}

async function operateHere(exchange: Exchange, resource: Resource, operation: Operation): Promise<void> {
  if (operation.on === 'database') {
    await onOpenDatabase(exchange, resource, operation);
    return;
  }
  requireNamespace(exchange);
  if (operation.on === 'place') await requireRightAbout(exchange, operation.right);
  else requireRight(rightOn(operation.right, exchange.server), exchange.user);
  await perform(exchange, resource, operation, operation.run);
}

/** Judges by the security object of a database, wherever it is. @throws CouchError; 404 where there is none */
async function requireRightAbout({ server, user, params }: Exchange, right: Right): Promise<void> {
  const { db: name = '' } = params;
  if (WITHOUT_DATABASE.has(right) || isServerAdmin(user)) requireRight(right, user);
  else if (server.mirrors.placeOf(name) === 'there')
    requireRight(right, user, await server.upstream.securityOf(name));
  else await server.databases.use(name, ({ security }) => requireRight(right, user, securityOf(security)));
}

/** How often a request may be rewritten, as in CouchDB. */
const MOST_REWRITES = 100;

/** Answers what a request was rewritten to, with the same user and the right that this needs. */
async function goOn(exchange: Exchange, rewriting: Rewriting): Promise<void> {
  const { server, request, response, rewrites } = exchange;
  if (rewrites === MOST_REWRITES) throw badRequest('Exceeded rewrite recursion limit');
  const url = canonicalUrl(rewriting.url);
  const question = url.indexOf('?');
  const [path, query] = question === -1 ? [url, ''] : [url.slice(0, question), url.slice(question + 1)];
  const found = isWellEncoded(url) ? server.resources.find(path) : undefined;
  if (found === undefined) throw notFound();
  const origin = { exchange, rewriting: { ...rewriting, url } };
  await operate(new Exchange(server, request, response, found.params, query, origin), found.resource);
}

/**
 * Who may write a design document chooses what becomes of the requests of others, which must not make use of more rights
 * than they have themselves. @throws CouchError 403
 */
function requireHarmless({ right }: Operation): void {
  if (right === 'serverAdmin')
    throw forbidden('A rewrite may not lead to what is not for the members of a database.');
}

/** What tells nothing but that the server is there. */
const ALIVE: ReadonlySet<string> = new Set(['/_gateway/live', '/_gateway/ready']);

/** Where the configuration says so, nobody may ask for anything without a name, but how to get one. @throws CouchError */
function requireValidUser({ user, server, method }: Exchange, { path }: Resource): void {
  const { requireValidUser: always, requireValidUserExceptForUp: exceptForUp } = server.config.auth;
  if (user.name !== null || !(always || exceptForUp)) return;
  if (path === '/_session' && method === 'POST') return;
  if (path === '/_up' && exceptForUp) return;
  if (ALIVE.has(path)) return;
  throw unauthorized('Authentication required.');
}

function operationFor(resource: Resource, method: string): Operation {
  const { methods } = resource;
  const name = method === 'HEAD' && !Object.hasOwn(methods, 'HEAD') ? 'GET' : method;
  return Object.hasOwn(methods, name) ? (methods[name] ?? resource.other) : resource.other;
}

async function onOpenDatabase(
  exchange: Exchange,
  resource: Resource,
  operation: Extract<Operation, { on: 'database' }>,
): Promise<void> {
  const { server, user } = exchange;
  const name = exchange.param('db');
  const right = rightIn(operation.right, name, resource, server);
  requireNamespace(exchange);
  if (WITHOUT_DATABASE.has(right)) requireRight(right, user);
  await server.databases.use(name, (db) => {
    requireRight(right, user, securityOf(db.security));
    const { run } = operation;
    return perform(exchange, resource, operation, run && ((request) => run(request, seenBy(exchange, db))));
  });
}

/**
 * Has the upstream answer, with the rights that its security object gives. Where the database has a mirror by rule, that
 * is made for whom may ask.
 * @returns false where the database came to be answered for here before there was an answer
 */
async function pass(
  exchange: Exchange,
  resource: Resource,
  operation: Operation,
  { ending }: Admission,
): Promise<boolean> {
  const { server, user } = exchange;
  const { on, right: needed } = operation;
  const name = exchange.param('db');
  const right = rightIn(needed, name, resource, server);
  if (on === 'server' || WITHOUT_DATABASE.has(right)) requireRight(right, user);
  else if (!isServerAdmin(user)) requireRight(right, user, await server.upstream.securityOf(name));
  // TRACE would show a client how the gateway says who asks, and CONNECT is no request.
  if (operation.run === undefined) {
    await perform(exchange, resource, operation, undefined);
    return true;
  }
  server.mirrors.want(name);
  requireWritable(exchange, resource);
  return passOn(exchange, resource.path, ending);
}

/** @throws CouchError 403 for what would change a database upstream that is only read */
function requireWritable(exchange: Exchange, { path }: Resource): void {
  if (!isWriting(exchange.method, path)) return;
  const refusal = exchange.server.mirrors.refusalOf(exchange.param('db'));
  if (refusal !== undefined) throw forbidden(refusal);
}

const rightOn = (right: Right, { config }: Server): Right =>
  right === 'databases' && !config.auth.adminOnlyAllDbs ? 'anyone' : right;

/** Databases whose documents are not for all who may read one: to list them takes a server admin. */
const UNLISTED = new Set(['_users', '_replicator']);

function rightIn(right: Right, name: string, { path }: Resource, { config }: Server): Right {
  if (right !== 'lister') return right;
  const { public: isPublic, publicFields } = config.users;
  // What is public of users may be listed, but they have no feed.
  const isOpen = name === USERS && isPublic && publicFields.length > 0 && path.startsWith('/:db/_all_docs');
  return UNLISTED.has(name) && !isOpen ? 'serverAdmin' : 'member';
}

function requireNamespace(exchange: Exchange): void {
  const name = exchange.param('db');
  if (name.startsWith('_') && !SYSTEM_DATABASES.has(name)) requireRight('serverAdmin', exchange.user);
}

function perform(
  exchange: Exchange,
  resource: Resource,
  operation: Operation,
  run: ServerHandler | undefined,
): Answer {
  if (run === undefined) {
    exchange.json(405, errorBody(methodNotAllowed(resource.allow)), ['Allow', resource.allow]);
    return;
  }
  if (operation.json) requireContentType(exchange.header('content-type'), 'application/json');
  return run(exchange);
}
