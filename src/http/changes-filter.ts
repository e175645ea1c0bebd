import { docIdSet } from '../changes/doc-ids.js';
import type { ChangesFilter, ChangesQuery } from '../changes/query.js';
import { conflictsOf } from '../changes/rows.js';
import type { DesignFunctions, Sandbox } from '../design/types.js';
import { badRequest, CouchError } from '../errors.js';
import { valuesInTurns } from '../json/text.js';
import { inTurns } from '../json/turns.js';
import { compileFields, parseFields } from '../selector/fields.js';
import { compileSelector } from '../selector/match.js';
import type { Database } from '../store/types/database.js';
import { shownText, STUBS } from '../store/attachments/text.js';
import { tooLarge } from './body.js';
import { designDocument, requireFunction } from './design-functions.js';
import type { Exchange } from './exchange.js';
import { jsonParameter } from './query.js';
import { NOTHING_SENT, requestObject, type SeenBody } from './request-object.js';
import { decodeSegment } from './url.js';

/** The body of a request for changes. */
export interface ChangesBody {
  readonly text: string;
  /** Each as text. */
  readonly members: ReadonlyMap<string, string>;
}

/** @param given the parameter `filter`. @throws CouchError 400, 404 */
export async function filterOf(
  exchange: Exchange,
  db: Database,
  given = '',
  body: ChangesBody | undefined,
  { conflicts }: Pick<ChangesQuery, 'conflicts'>,
): Promise<ChangesFilter | undefined> {
  const name = /^\/+$/.test(given) ? '' : given;
  switch (name) {
    case '':
      return undefined;
    case '_doc_ids':
      return docIdsFilter(exchange, body);
    case '_selector':
      return selectorFilter(exchange, body);
    case '_design':
      return { kind: 'design' };
    case '_view': {
      const view = exchange.parameter('view') ?? '';
      if (view === '') throw badRequest('`view` filter parameter is not provided.');
      return viewFilter(exchange.server.sandbox, db, view, conflicts);
    }
    default: {
      if (name.startsWith('_')) throw badRequest('unknown builtin filter name');
      return functionFilter(exchange.server.sandbox, db, name, conflicts, () =>
        requestObject(exchange, db, undefined, seenOf(exchange, body)),
      );
    }
  }
}

async function docIdsFilter(exchange: Exchange, body: ChangesBody | undefined): Promise<ChangesFilter> {
  const ids =
    exchange.method === 'POST'
      ? await valuesInTurns(body?.members.get('doc_ids') ?? 'null')
      : jsonParameter(exchange.parameter('doc_ids') ?? 'null');
  const set = await inTurns(docIdSet(ids));
  const few = set.size <= exchange.server.config.limits.changesDocIdsOptimizationThreshold;
  return { kind: 'doc_ids', ids: set, few };
}

/** Reading a selector is not interrupted, and it is asked about every document. */
const MAX_SELECTOR = 100_000;

function selectorFilter(exchange: Exchange, body: ChangesBody | undefined): ChangesFilter {
  if (exchange.method !== 'POST') throw badRequest('Selector must be specified in POST payload');
  const matches = forFilter(() => compileSelector(objectOf(selectorPart(body, 'selector'))));
  const project = forFilter(() => compileFields(fieldsOf(selectorPart(body, 'fields'))));
  return { kind: 'selector', matches, ...(project && { project }) };
}

/** Of what is wrong with a selector CouchDB tells here the sentence alone. */
function forFilter<T>(compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    throw error instanceof CouchError && error.status === 400 ? badRequest(error.reason) : error;
  }
}

function objectOf(selector: unknown): unknown {
  if (typeof selector === 'object' && selector !== null && !Array.isArray(selector)) return selector;
  throw badRequest('Selector error: expected a JSON object');
}

function fieldsOf(fields: unknown): readonly string[] {
  if (fields === undefined) return [];
  if (!Array.isArray(fields)) throw badRequest('Selector error: fields must be JSON array');
  return parseFields(fields);
}

function selectorPart(body: ChangesBody | undefined, name: 'selector' | 'fields'): unknown {
  const text = body?.members.get(name);
  if (text === undefined) return undefined;
  if (text.length > MAX_SELECTOR)
    throw badRequest(`Selector error: ${name} must not be longer than ${MAX_SELECTOR} characters`);
  return JSON.parse(text) as unknown;
}

// ---- functions ------------------------------------------------------------------------------------------------

/** Lets documents pass for which the map function of a view emits something. @throws CouchError 400, 404 */
export function viewFilter(sandbox: Sandbox, db: Database, path: string, conflicts: boolean): ChangesFilter {
  const { functions, name } = functionAt(sandbox, db, path, 'views', 'view');
  return {
    kind: 'function',
    judge: judge(conflicts, (documents) => functions.filterByView(name, documents)),
  };
}

/**
 * Lets documents pass that a filter function lets pass.
 * @param requestOf what the function sees of the request, as JSON
 * @throws CouchError 400, 404
 */
export async function functionFilter(
  sandbox: Sandbox,
  db: Database,
  path: string,
  conflicts: boolean,
  requestOf: () => Promise<string>,
): Promise<ChangesFilter> {
  const { functions, name } = functionAt(sandbox, db, path, 'filters', 'filter');
  const request = await requestOf();
  return {
    kind: 'function',
    judge: judge(conflicts, (documents) => functions.filter(name, documents, request)),
  };
}

/** A function of a design document as it is now: a feed keeps it, whatever becomes of the document. @throws CouchError */
function functionAt(
  sandbox: Sandbox,
  db: Database,
  path: string,
  kind: 'filters' | 'views',
  parameter: 'filter' | 'view',
): { readonly functions: DesignFunctions; readonly name: string } {
  const parts = path.split('/').filter((part) => part !== '');
  const [designName, name] = parts.map((part) => decodeSegment(part) ?? part);
  if (designName === undefined || name === undefined || parts.length !== 2)
    throw badRequest(`\`${parameter}\` must be of the form \`designname/${parameter}name\``);
  const design = designDocument(db, designName);
  requireFunction(design, kind, name);
  return { functions: sandbox.design(db, design.id), name };
}

/** A filter gets the body with each document, and a feed keeps it as long as it lasts. */
const MAX_FILTER_BODY = 1024 * 1024;

/** A body that is JSON is a value to a filter. @throws CouchError 413 */
function seenOf(exchange: Exchange, body: ChangesBody | undefined): SeenBody {
  if (body === undefined) return exchange.method === 'POST' ? { ...NOTHING_SENT, body: '""' } : NOTHING_SENT;
  if (body.text.length > MAX_FILTER_BODY) throw tooLarge();
  return { ...NOTHING_SENT, body: body.text };
}

type Judge = Extract<ChangesFilter, { kind: 'function' }>['judge'];

/** Documents come to a filter as CouchDB has them: of their ancestry only the revision itself is known. */
function judge(
  conflicts: boolean,
  run: (documents: readonly string[]) => Promise<readonly boolean[]>,
): Judge {
  return (revisions) =>
    run(
      revisions.map(({ record, rev, text }) => {
        const dash = rev.indexOf('-');
        const own = { start: Number(rev.slice(0, dash)), ids: [rev.slice(dash + 1)] };
        const others = conflicts ? conflictsOf(record) : undefined;
        return shownText(text, { revisions: own, conflicts: others }, STUBS);
      }),
    );
}
