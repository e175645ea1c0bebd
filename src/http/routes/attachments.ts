import { bodyOf, living, redirectDesign } from './documents.js';
import type { AddResource } from './index.js';
import type { CouchError } from '../../errors.js';
import { badRequest, notFound, notImplemented } from '../../errors.js';
import { members } from '../../json/text.js';
import { parseRev } from '../../store/document.js';
import type { Database } from '../../store/types.js';
import type { Exchange } from '../exchange.js';
import { onDatabase } from '../resource.js';
import { isDesign } from '../writes.js';

/** Attachments by their own paths: told apart from what is not there, but not served yet. */
export function attachmentRoutes(add: AddResource): void {
  addAttachment(add, '/:db/:docid/*', (exchange) => exchange.param('docid'));
  addAttachment(add, '/:db/_design/:name/*', (exchange) => `_design/${exchange.param('name')}`);
}

function addAttachment(add: AddResource, path: string, idOf: (exchange: Exchange) => string): void {
  add({
    path,
    allow: 'DELETE,GET,HEAD,PUT',
    methods: {
      GET: onDatabase('member', (exchange, db) => get(exchange, db, idOf(exchange))),
      PUT: onDatabase('member', write),
      DELETE: onDatabase('member', write),
    },
    other: onDatabase('member'),
  });
}

const notYet = (): CouchError => notImplemented('Attachments are not supported by this version of Causeway.');

function get(exchange: Exchange, db: Database, id: string): void {
  if (isDesign(id) && exchange.params.docid !== undefined) redirectDesign(exchange);
  else read(exchange, db, id);
}

function read(exchange: Exchange, db: Database, id: string): never {
  const rev = exchange.parameter('rev');
  const record = db.get(id);
  const found = rev === undefined || record === undefined ? living(record) : record;
  const text = bodyOf(db, found, rev === undefined ? found.winner : parseRev(rev));
  const attachments = members(members(text)?.get('_attachments') ?? '{}');
  if (attachments?.has(exchange.param('*')) === true) throw notYet();
  throw notFound('Document is missing attachment');
}

function write(exchange: Exchange): never {
  const name = exchange.param('*');
  if (name.startsWith('_'))
    throw badRequest(`Attachment name '${name}' starts with prohibited character '_'`);
  throw notYet();
}
