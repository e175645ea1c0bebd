import { documentsQuery, documentTable } from './all-docs.js';
import { viewTable } from './views.js';
import type { AddResource } from './index.js';
import type { Right } from '../../auth/rights.js';
import { readAnswer } from '../../design/function-answer.js';
import { invalidPath } from '../../design/invalid-path.js';
import { CouchError } from '../../errors.js';
import { quote } from '../../json/quote.js';
import type { Database } from '../../store/types/database.js';
import { CAGE } from '../caged.js';
import { designDocument, requireFunction } from '../design-functions.js';
import type { Exchange } from '../exchange.js';
import type { ListQuery } from '../list-query.js';
import { NOTHING_SENT, requestObject, type SeenBody } from '../request-object.js';
import { json, onDatabase, type DatabaseHandler } from '../resource.js';
import { sendStream } from '../stream.js';
import { headMembers, type Table } from '../table.js';
import { checkedQuery, viewQuery } from '../view-query.js';

/** List functions make an answer of the rows of a view, which may be of another design document, or of all documents. */
export function listRoutes(add: AddResource): void {
  const path = '/:db/_design/:name/_list';
  const resource = (more: string, run: DatabaseHandler, right: Right = 'member'): void =>
    add({
      path: path + more,
      allow: 'GET,POST,HEAD',
      methods: { GET: onDatabase(right, run), POST: json(onDatabase(right, run)) },
      other: onDatabase(right),
    });
  for (const more of ['', '/:function', '/:function/:design/:view/*']) resource(more, refuse);
  for (const more of ['/:function', '/:function/:design']) {
    resource(`${more}/:view`, list(rowsOfView));
    resource(`${more}/_all_docs`, list(allDocuments), 'lister');
  }
}

function refuse(exchange: Exchange, db: Database): never {
  designDocument(db, exchange.param('name'));
  throw invalidPath('list');
}

/** What is listed, once the query has been checked. */
type Listing = () => Promise<Table>;

/**
 * Checks what is asked for.
 * @param design id of the design document that the path names for it
 * @param body the members of the body, each as JSON
 * @throws CouchError
 */
type Source = (
  exchange: Exchange,
  db: Database,
  design: string,
  body: ReadonlyMap<string, string> | undefined,
) => Promise<Listing>;

const rowsOfView: Source = async (exchange, db, design, body) => {
  const view = exchange.param('view');
  const asked = withoutBytes(checkedQuery(db, design, view, await viewQuery(exchange, body)));
  return () => viewTable(exchange, db, design, view, asked);
};

const allDocuments: Source = async (exchange, db, _design, body) => {
  const asked = withoutBytes(await documentsQuery(exchange, db, '_all_docs', body));
  return () => documentTable(db, '_all_docs', asked, rowOfMissing);
};

/** Rows have to be in memory as a whole, and attachments may be too large for that. */
const withoutBytes = <Q extends ListQuery>(query: Q): Q => ({ ...query, attachments: false });

/** CouchDB shows no error to functions. */
const rowOfMissing = (key: string): string => `{"id":"error","key":${key},"value":"not_found"}`;

const list =
  (source: Source): DatabaseHandler =>
  async (exchange, db) => {
    const { name = '', design = name } = exchange.params;
    const members = exchange.method === 'POST' ? await exchange.bodyMembers() : undefined;
    const withList = designDocument(db, name);
    requireFunction(withList, 'lists', exchange.param('function'));
    const listing = await source(exchange, db, designDocument(db, design).id, members);
    const request = await requestObject(exchange, db, undefined, seen(members));
    const text = answer(exchange, db, withList.id, listing, request);
    try {
      await send(exchange, text);
    } finally {
      await text.return(undefined);
    }
  };

/** A body as the function sees it: its value. */
function seen(members: ReadonlyMap<string, string> | undefined): SeenBody {
  if (members === undefined) return NOTHING_SENT;
  const texts = Array.from(members, ([name, value]) => `${quote(name)}:${value}`);
  return { body: `{${texts.join(',')}}`, form: '{}' };
}

/**
 * The response object as JSON, then the text. It ends early where the client has gone.
 * @param id of the design document of the function
 */
async function* answer(
  exchange: Exchange,
  db: Database,
  id: string,
  listing: Listing,
  request: string,
): AsyncGenerator<string> {
  const { server } = exchange;
  const signal = server.track(exchange);
  const functions = server.sandbox.design(db, id);
  const { pages, ...above } = await listing();
  const head = `{${headMembers(above).join(',')}}`;
  yield* functions.list(exchange.param('function'), head, request, { pages, signal });
}

async function send(exchange: Exchange, text: AsyncGenerator<string>): Promise<void> {
  const first = await text.next();
  if (first.done === true) return;
  const { status = 200, type, headers } = readAnswer(first.value);
  const all = [...headers, ...CAGE];
  if (status === 204 || status === 304) exchange.empty(status, all);
  else await sendStream(exchange, () => withError(text), { status, type, headers: all });
}

/** What fails once the answer has begun is told at its end, as CouchDB does it. */
async function* withError(text: AsyncIterable<string>): AsyncGenerator<string> {
  try {
    yield* text;
  } catch (error) {
    if (!(error instanceof CouchError)) throw error;
    const { status, error: name, reason } = error;
    yield `\n${JSON.stringify({ code: status, error: name, reason })}\n`;
  }
}
