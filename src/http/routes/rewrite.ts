import type { IncomingHttpHeaders } from 'node:http';
import type { AddResource } from './index.js';
import { checkedHeaders, readHeaders } from '../../design/function-answer.js';
import { invalidPath } from '../../design/invalid-path.js';
import { readRewrite, type RewrittenRequest } from '../../design/rewrite-answer.js';
import { requireInside } from '../../design/rewrite-path.js';
import { applyRules } from '../../design/rewrite-rules.js';
import { own } from '../../design/values.js';
import { notFound } from '../../errors.js';
import type { Database } from '../../store/types/database.js';
import { sendAnswer } from '../caged.js';
import { type DesignDocument, designDocument } from '../design-functions.js';
import type { Exchange, Rewriting } from '../exchange.js';
import type { Query } from '../query.js';
import { anyBody, rewriteObject } from '../request-object.js';
import { onDatabase } from '../resource.js';
import { decodeSegment, encodeSegment } from '../url.js';

/** Requests of any method; those that they are rewritten to need a right of their own. */
export function rewriteRoutes(add: AddResource): void {
  const path = '/:db/_design/:name/_rewrite';
  for (const more of ['', '/*']) {
    add({ path: path + more, allow: '', methods: {}, other: onDatabase('member', rewrite) });
  }
}

async function rewrite(exchange: Exchange, db: Database): Promise<void> {
  const design = designDocument(db, exchange.param('name'));
  const rewrites = own(design.value, 'rewrites') ?? null;
  if (Array.isArray(rewrites)) exchange.rewriting = byRules(exchange, db, design, rewrites);
  else if (typeof rewrites === 'string') await byFunction(exchange, db, design);
  else throw invalidPath('rewrite');
}

// ---- rules ----------------------------------------------------------------------------------------------------

/** The parts of the path before those that are rewritten: the database, `_design`, the name, `_rewrite`. */
const BEFORE = 4;

function byRules(
  { url, method, headers, query }: Exchange,
  db: Database,
  design: DesignDocument,
  rules: readonly unknown[],
): Rewriting {
  const [given = ''] = url.split('?', 1);
  const parts = given.split('/').slice(1 + BEFORE);
  const request = {
    method: method === 'HEAD' ? 'GET' : method,
    path: parts.map((part) => decodeSegment(part) ?? part),
    query,
  };
  const target = applyRules(rules, baseOf(design), request);
  if (target === undefined) throw notFound('missing');
  const path = [db.name, ...target.path].map((part) => `/${encodeSegment(part)}`).join('');
  return { method, headers, url: path + queryText(target.query) };
}

const baseOf = ({ id }: DesignDocument): readonly string[] => ['_design', id.slice('_design/'.length)];

const queryText = (query: Query): string =>
  query.length === 0 ? '' : `?${query.map((pair) => pair.map(encodedText).join('=')).join('&')}`;

const encodedText = (text: string): string => encodeURIComponent(text.toWellFormed());

// ---- functions ------------------------------------------------------------------------------------------------

async function byFunction(exchange: Exchange, db: Database, design: DesignDocument): Promise<void> {
  const functions = exchange.server.sandbox.design(db, design.id, exchange.departure);
  const body = await anyBody(exchange);
  const json = await functions.rewrite(rewriteObject(exchange, db, body));
  if (json === undefined) throw invalidPath('rewrite');
  const result = readRewrite(json);
  if ('path' in result) {
    exchange.rewriting = rewritten(exchange, db, design, result, body);
    return;
  }
  const { type = 'text/html; charset=utf-8', headers } = readHeaders(result.headers);
  await sendAnswer(exchange, result.status, { type, headers, body: Buffer.from(result.body) }, []);
}

function rewritten(
  exchange: Exchange,
  db: Database,
  design: DesignDocument,
  { path, query, method, headers, body }: RewrittenRequest,
  sent: Buffer | undefined,
): Rewriting {
  const [start = '', ...rest] = path.split('?');
  const base = [db.name, ...baseOf(design)].map(encodeSegment);
  const [database = '', ...inside] = base;
  const target = [database, ...requireInside([...inside, ...start.split('/')])];
  const search =
    query === undefined ? (rest.length > 0 ? `?${rest.join('?')}` : queryOf(exchange)) : queryText(query);
  const bytes = body === undefined ? sent : Buffer.from(body);
  return {
    method: method ?? exchange.method,
    url: encoded(`/${target.join('/')}${search}`),
    headers: changed(exchange, headers, body === undefined ? undefined : bytes),
    ...(bytes !== undefined && { body: bytes }),
  };
}

const queryOf = ({ rawQuery }: Exchange): string => (rawQuery === '' ? '' : `?${rawQuery}`);

/** What a function writes into a path as it is, and what would cut it off. */
const encoded = (url: string): string =>
  url.toWellFormed().replace(/[^\x21\x22\x24-\x7e]+/g, (text) => encodeURIComponent(text));

/**
 * Headers that say who asks, from where, through what and how much follows: they stay the client's, for it is with its
 * rights that the request goes on.
 */
const CLIENTS =
  /^(authorization|connection|content-length|cookie|expect|forwarded|host|keep-alive|origin|referer|te|trailer|transfer-encoding|upgrade|x-couch-request-id|(proxy-|sec-|x-auth-couchdb-|x-forwarded-).*)$/;

/** The headers of a request with those that a function sets. @param body in the place of the one that was sent */
function changed({ headers, server }: Exchange, given: Query, body: Buffer | undefined): IncomingHttpHeaders {
  const { usernameHeader, rolesHeader, tokenHeader } = server.config.proxy;
  const proxys = [usernameHeader, rolesHeader, tokenHeader].map((name) => name.toLowerCase());
  const set = new Map<string, string>();
  for (const [name, value] of checkedHeaders(given)) {
    const key = name.toLowerCase();
    if (!CLIENTS.test(key) && !proxys.includes(key)) set.set(key, value);
  }
  const all: IncomingHttpHeaders = { ...headers, ...Object.fromEntries(set) };
  if (body === undefined) return all;
  delete all['transfer-encoding'];
  delete all['content-encoding'];
  return { ...all, 'content-length': String(body.length) };
}
