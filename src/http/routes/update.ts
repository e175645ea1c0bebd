import type { AddResource } from './index.js';
import { readAnswer } from '../../design/function-answer.js';
import { invalidPath } from '../../design/invalid-path.js';
import { CouchError } from '../../errors.js';
import { parseDocument } from '../../store/document.js';
import type { Database } from '../../store/types/database.js';
import { sendAnswer } from '../caged.js';
import { designDocument, requireFunction, seenDocument } from '../design-functions.js';
import { errorBody } from '../errors.js';
import type { Exchange } from '../exchange.js';
import { Intake } from '../intake.js';
import { anyBody, requestObject, seenBody } from '../request-object.js';
import { onDatabase } from '../resource.js';
import { encodeSegment } from '../url.js';
import { checkWrite, writeOne } from '../writes.js';

/** Update functions take requests of any method but GET. */
export function updateRoutes(add: AddResource): void {
  const path = '/:db/_design/:name/_update';
  add({ path, allow: '', methods: {}, other: onDatabase('member', refuse) });
  for (const more of ['/:function', '/:function/*']) {
    add({ path: path + more, allow: '', methods: {}, other: onDatabase('member', update) });
  }
}

function refuse(exchange: Exchange, db: Database): never {
  designDocument(db, exchange.param('name'));
  throw invalidPath('update');
}

async function update(exchange: Exchange, db: Database): Promise<void> {
  const { server, params, method } = exchange;
  const name = exchange.param('function');
  const design = designDocument(db, exchange.param('name'));
  requireFunction(design, 'updates', name);
  if (method === 'GET' || method === 'HEAD') {
    const refusal = new CouchError(405, 'method_not_allowed', 'Update functions do not allow GET');
    exchange.json(405, errorBody(refusal), ['Allow', 'POST,PUT']);
    return;
  }
  const functions = server.sandbox.design(db, design.id, exchange.departure);
  const id = params['*'];
  const before = id === undefined ? undefined : seenDocument(db, id);
  const body = seenBody(exchange, await anyBody(exchange));
  const request = await requestObject(exchange, db, id, body);
  const { document, response } = await functions.update(name, before?.text ?? 'null', request);
  // An answer that is none is found before anything is written for it.
  const { status, ...answer } = readAnswer(response);
  const written = document?.startsWith('{') === true ? await write(exchange, db, document) : undefined;
  await sendAnswer(exchange, status ?? (written === undefined ? 200 : 201), answer, written ?? []);
}

/** Writes what a function made, as its user. @returns headers that tell what was written */
async function write(exchange: Exchange, db: Database, text: string): Promise<readonly string[]> {
  const options = { newEdits: true, makeId: () => '', ...exchange.server.documents };
  const parsed = await parseDocument(text, options);
  await checkWrite(exchange, db, parsed);
  return Intake.during(exchange, db, async (intake) => {
    const edit = await intake.edit(parsed, true);
    const rev = await writeOne(db, edit, true);
    return ['X-Couch-Id', encodeSegment(edit.id), 'X-Couch-Update-NewRev', rev];
  });
}
