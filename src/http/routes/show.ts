import type { AddResource } from './index.js';
import { readAnswer } from '../../design/function-answer.js';
import { invalidPath } from '../../design/invalid-path.js';
import type { Database } from '../../store/types/database.js';
import { sendAnswer } from '../caged.js';
import { designDocument, requireFunction, seenDocument, type SeenDocument } from '../design-functions.js';
import { etagOf, matches } from '../etag.js';
import type { Exchange } from '../exchange.js';
import { anyBody, requestObject, seenBody } from '../request-object.js';
import { onDatabase } from '../resource.js';

/** Show functions take requests of any method. */
export function showRoutes(add: AddResource): void {
  const path = '/:db/_design/:name/_show';
  add({ path, allow: '', methods: {}, other: onDatabase('member', refuse) });
  for (const more of ['/:function', '/:function/*']) {
    add({ path: path + more, allow: '', methods: {}, other: onDatabase('member', show) });
  }
}

function refuse(exchange: Exchange, db: Database): never {
  designDocument(db, exchange.param('name'));
  throw invalidPath('show');
}

async function show(exchange: Exchange, db: Database): Promise<void> {
  const { server, params } = exchange;
  const name = exchange.param('function');
  const design = designDocument(db, exchange.param('name'));
  requireFunction(design, 'shows', name);
  const id = params['*'];
  const document = id === undefined ? undefined : seenDocument(db, id);
  const headers = ['ETag', showEtag(exchange, design.rev, document), 'Vary', 'Accept'];
  if (matches(exchange.header('if-none-match'), headers[1] ?? '')) {
    exchange.empty(304, headers);
    return;
  }
  const functions = server.sandbox.design(db, design.id, exchange.departure);
  const body = seenBody(exchange, await anyBody(exchange));
  const request = await requestObject(exchange, db, id, body);
  const { status = 200, ...answer } = readAnswer(
    await functions.show(name, document?.text ?? 'null', request),
  );
  await sendAnswer(exchange, status, answer, headers);
}

/** What an answer is taken to depend on: neither the query nor a body, as in CouchDB. */
function showEtag(
  { user, headers }: Exchange,
  designRev: string,
  document: SeenDocument | undefined,
): string {
  return etagOf(JSON.stringify([designRev, document?.rev, headers.accept, user.name, user.roles]));
}
