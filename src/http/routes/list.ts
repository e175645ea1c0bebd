import { viewTable } from './views.js';
import type { AddResource } from './index.js';
import { readAnswer } from '../../design/function-answer.js';
import { invalidPath } from '../../design/invalid-path.js';
import { CouchError } from '../../errors.js';
import { quote } from '../../json/quote.js';
import type { Database } from '../../store/types.js';
import { CAGE } from '../caged.js';
import { designDocument, requireFunction } from '../design-functions.js';
import type { Exchange } from '../exchange.js';
import { NOTHING_SENT, requestObject, type SeenBody } from '../request-object.js';
import { json, onDatabase, type DatabaseHandler } from '../resource.js';
import { sendStream } from '../stream.js';
import { headMembers } from '../table.js';
import { checkedQuery, viewQuery, type ViewQuery } from '../view-query.js';

/** List functions make an answer of the rows of a view, which may be of another design document. */
export function listRoutes(add: AddResource): void {
  const path = '/:db/_design/:name/_list';
  const resource = (more: string, run: DatabaseHandler): void =>
    add({
      path: path + more,
      allow: 'GET,POST,HEAD',
      methods: { GET: onDatabase('member', run), POST: json(onDatabase('member', run)) },
      other: onDatabase('member'),
    });
  for (const more of ['', '/:function', '/:function/:design/:view/*']) resource(more, refuse);
  for (const more of ['/:function/:view', '/:function/:design/:view']) resource(more, list);
}

function refuse(exchange: Exchange, db: Database): never {
  designDocument(db, exchange.param('name'));
  throw invalidPath('list');
}

async function list(exchange: Exchange, db: Database): Promise<void> {
  const { name = '', design = name } = exchange.params;
  const members = exchange.method === 'POST' ? await exchange.bodyMembers() : undefined;
  const withList = designDocument(db, name);
  requireFunction(withList, 'lists', exchange.param('function'));
  const withView = designDocument(db, design);
  const query = await viewQuery(exchange, members);
  const asked = checkedQuery(db, withView.id, exchange.param('view'), query);
  const text = answer(exchange, db, {
    list: withList.id,
    view: withView.id,
    // Rows have to be in memory as a whole, and attachments may be too large for that.
    asked: { ...asked, attachments: false },
    request: await requestObject(exchange, db, undefined, seen(members)),
  });
  try {
    await send(exchange, text);
  } finally {
    await text.return(undefined);
  }
}

/** A body as the function sees it: its value. */
function seen(members: ReadonlyMap<string, string> | undefined): SeenBody {
  if (members === undefined) return NOTHING_SENT;
  const texts = Array.from(members, ([name, value]) => `${quote(name)}:${value}`);
  return { body: `{${texts.join(',')}}`, form: '{}' };
}

interface Listing {
  /** Design documents, by their ids. */
  readonly list: string;
  readonly view: string;
  readonly asked: ViewQuery;
  readonly request: string;
}

/** The response object as JSON, then the text. It ends early where the client has gone. */
async function* answer(
  exchange: Exchange,
  db: Database,
  { list: id, view, asked, request }: Listing,
): AsyncGenerator<string> {
  const { server } = exchange;
  const signal = server.track(exchange);
  const functions = server.sandbox.design(db, id);
  const { pages, ...above } = await viewTable(exchange, db, view, exchange.param('view'), asked);
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
