import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Couch, type RequestOptions } from './support/couch.js';
import { Restartable } from './support/restartable.js';
import { until } from './support/wait.js';

/** A CouchDB on this machine with the name and password of an admin, `http://admin:secret@127.0.0.1:5984`. */
const { COUCHDB_URL } = process.env;

/** Refuses what is to be looked at, and says what it saw. */
const TELL = `function (newDoc, oldDoc, userCtx, secObj) {
  if (newDoc.tell || newDoc._id === 'tell') throw({ forbidden: JSON.stringify([newDoc, oldDoc, userCtx.roles, secObj]) });
}`;

/** A second one, which judges only documents of its own. */
const ODD = `function (newDoc) {
  switch (newDoc.odd) {
    case 'empty': throw({ forbidden: '' });
    case 'unauthorized': throw({ unauthorized: 'log in' });
    case 'other': throw({ other: 'word' });
    case 'text': throw('text');
    case 'list': throw(['error', 'word', 'reason']);
    case 'returned': return { forbidden: 'no' };
    case 'changed': newDoc.tell = true; return;
  }
}`;

const hash = (digit: string): string => digit.repeat(32);
const revisions = (...digits: string[]): object => ({
  _rev: `${String(digits.length)}-${hash(digits[0] ?? '')}`,
  _revisions: { start: digits.length, ids: digits.map(hash) },
});
const replicated = (...docs: object[]): RequestOptions => ({ body: { new_edits: false, docs } });
const data = Buffer.from('hello').toString('base64');
const tell = { tell: true };

/** `REV:name` stands for the revision that the request of that name made. */
const REQUESTS: readonly (readonly [name: string, method: string, path: string, options?: RequestOptions])[] =
  [
    ['a new one', 'PUT', '/a', { body: tell }],
    ['one of an unknown revision', 'PUT', '/a', { body: { ...tell, _rev: `1-${hash('1')}` } }],
    [
      'a',
      'PUT',
      '/a',
      { body: { v: 1, _attachments: { x: { data }, y: { data, content_type: 'text/plain' } } } },
    ],
    ['a change', 'PUT', '/a?rev=REV:a', { body: tell }],
    [
      'a change that keeps one',
      'PUT',
      '/a',
      { body: { ...tell, _rev: 'REV:a', _attachments: { x: { stub: true } } } },
    ],
    [
      'one with members that are ignored',
      'PUT',
      '/a',
      { body: { ...tell, _rev: 'REV:a', _conflicts: ['1-a'] } },
    ],
    ['a conflict', 'PUT', '/a', { body: tell }],
    ['a deletion', 'PUT', '/a', { body: { ...tell, _rev: 'REV:a', _deleted: true } }],
    [
      'a stub of nothing',
      'PUT',
      '/a',
      { body: { ...tell, _rev: 'REV:a', _attachments: { z: { stub: true } } } },
    ],
    ['an attachment', 'PUT', '/tell/x', { text: 'hello', headers: { 'content-type': 'text/plain' } }],
    ['a copy', 'COPY', '/a', { headers: { destination: 'tell' } }],
    ['gone', 'DELETE', '/a?rev=REV:a'],
    ['made again', 'PUT', '/a', { body: tell }],
    ['a new deletion', 'PUT', '/new', { body: { ...tell, _deleted: true } }],
    ['a local one', 'PUT', '/_local/a', { body: tell }],
    ['a design document', 'PUT', '/_design/more', { body: tell }],
    [
      'several',
      'POST',
      '/_bulk_docs',
      { body: { docs: [{ _id: 'b', ...tell }, { _id: 'c' }, { _id: 'c', ...tell }] } },
    ],
    ['replicated', 'POST', '/_bulk_docs', replicated({ _id: 'r', v: 1, ...revisions('b', 'a') })],
    ['again', 'POST', '/_bulk_docs', replicated({ _id: 'r', ...tell, ...revisions('b', 'a') })],
    ['its child', 'POST', '/_bulk_docs', replicated({ _id: 'r', ...tell, ...revisions('d', 'c', 'b', 'a') })],
    ['its sibling', 'POST', '/_bulk_docs', replicated({ _id: 'r', ...tell, ...revisions('e', 'a') })],
    ['an unrelated one', 'POST', '/_bulk_docs', replicated({ _id: 'r', ...tell, _rev: `9-${hash('9')}` })],
    ['replicated alone', 'PUT', '/r?new_edits=false', { body: { ...tell, ...revisions('d', 'b', 'a') } }],
    [
      'a replicated deletion',
      'PUT',
      '/r?new_edits=false',
      { body: { ...tell, _deleted: true, ...revisions('f', 'b', 'a') } },
    ],
    ...['empty', 'unauthorized', 'other', 'text', 'list', 'returned', 'changed'].map(
      (odd): (typeof REQUESTS)[number] => [odd, 'PUT', `/${odd}`, { body: { odd } }],
    ),
    [
      'odd ones',
      'POST',
      '/_bulk_docs',
      { body: { docs: ['other', 'text', 'list'].map((odd) => ({ odd, _id: odd })) } },
    ],
  ];

/** What a server answers to each. */
async function answers(couch: Couch, database: string): Promise<Record<string, unknown>> {
  await couch.put(`/${database}`);
  await couch.put(`/${database}/_security`, { members: { names: [], roles: [] }, own: [1, null] });
  for (const [name, source] of [
    ['tell', TELL],
    ['odd', ODD],
  ])
    await couch.put(`/${database}/_design/${String(name)}`, { validate_doc_update: source });
  // In CouchDB a rule counts a moment after it is acknowledged.
  const isRuled = async (body: object): Promise<boolean> =>
    (await couch.request('PUT', `/${database}/waits-${randomBytes(8).toString('hex')}`, { body })).status >
    400;
  await until('both rules count', async () => (await isRuled(tell)) && (await isRuled({ odd: 'text' })));
  const revs = new Map<string, string>();
  const filled = (text: string): string =>
    text.replace(/REV:([a-z]+)/g, (_, name: string) => revs.get(name) ?? '');
  const all: Record<string, unknown> = {};
  for (const [name, method, path, options = {}] of REQUESTS) {
    const { body, ...more } = options;
    const sent =
      body === undefined ? more : { ...more, body: JSON.parse(filled(JSON.stringify(body))) as unknown };
    const answer = await couch.request(method, `/${database}${filled(path)}`, sent);
    const { rev } = answer.body as { rev?: string };
    if (rev !== undefined && rev.length > 32) revs.set(name, rev);
    all[name] = plain([answer.status, answer.body], revs);
  }
  return all;
}

/** What need not be equal: hashes of revisions, and what is known of attachments that are just being sent. */
function plain(answer: unknown, revs: ReadonlyMap<string, string>): unknown {
  let text = JSON.stringify(answer);
  for (const [name, rev] of revs)
    text = text.replaceAll(rev, `REV:${name}`).replaceAll(rev.slice(2), `HASH:${name}`);
  return JSON.parse(text, (key, value: unknown) => {
    if (key === 'reason' && typeof value === 'string' && value.startsWith('[{'))
      return plain(JSON.parse(value), revs);
    if (key === 'rev') return Number.parseInt(String(value), 10);
    return key === 'digest' || key === 'length' ? undefined : value;
  });
}

describe.skipIf(COUCHDB_URL === undefined)('validation functions of a CouchDB (needs COUCHDB_URL)', () => {
  const database = `judged-${randomBytes(8).toString('hex')}`;
  let gateway: Restartable;
  let couchdb: Couch;
  beforeAll(async () => {
    gateway = await Restartable.start();
    const { origin, username, password } = new URL(COUCHDB_URL ?? '');
    couchdb = new Couch(origin, `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`);
  });
  afterAll(async () => {
    await couchdb.delete(`/${database}`);
    await couchdb.close();
    await gateway.remove();
  });

  it('see and say the same here', async () => {
    const [theirs, ours] = await Promise.all([answers(couchdb, database), answers(gateway.couch, database)]);
    expect(Object.keys(ours)).toHaveLength(REQUESTS.length);
    expect(ours).toEqual(theirs);
  });
});
