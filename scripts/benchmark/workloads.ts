import { createHash } from 'node:crypto';
import { documents } from '../../test/system/support/documents.js';
import type { Target } from './target.js';
import { viewWorkloads } from './view-workloads.js';
import { reading, type Round, strided, type Workload } from './workload.js';

/** Bytes of JSON of one document, about. */
const SIZE = 500;
/** Documents of one bulk request, ids of one look-up. */
const BATCH = 500;
const PAGE = 1000;

/** All workloads, for a database `bench` of so many documents. */
export function workloads(count: number): readonly Workload[] {
  return [
    reading('get', 'GET one document', 'request', 50, (target) =>
      scattered(target, count, Math.min(3 * count, 30_000)),
    ),
    reading('get-session', 'the same with a cookie instead of a password', 'request', 50, async (target) =>
      scattered(await target.inSession(), count, Math.min(3 * count, 30_000)),
    ),
    writing('put', 'PUT new documents', 50, Math.min(count, 10_000), putNew),
    writing('put-one', 'the same on one connection', 1, Math.min(count >> 2, 1000), putNew),
    manyDatabases(Math.min(Math.ceil(count / 100), 100), Math.min(count, 5000)),
    writing('bulk', '`_bulk_docs`, 500 a request', 4, Math.min(count, 30_000), bulk(true)),
    writing(
      'bulk-replicated',
      '`_bulk_docs` with `new_edits: false`',
      4,
      Math.min(count, 30_000),
      bulk(false),
    ),
    writing(
      'bulk-validated',
      '`_bulk_docs`, each document judged by a `validate_doc_update`',
      4,
      Math.min(count, 30_000),
      bulk(true),
      { design: { validate_doc_update: VALIDATE } },
    ),
    reading('changes', '`_changes?style=all_docs`, all rows', 'row', 1, (target) =>
      whole(target, '_changes?style=all_docs', count),
    ),
    reading('changes-pages', 'the same in pages of 1000', 'row', 1, (target) => changesPages(target, count)),
    reading('changes-docs', '`_changes?include_docs=true`, all rows', 'row', 1, (target) =>
      whole(target, '_changes?include_docs=true', count),
    ),
    reading(
      'changes-filtered',
      '`_changes` with a filter function that lets half of the rows through',
      'row',
      1,
      (target) => filtered(target, count),
    ),
    reading('all-docs', '`_all_docs?include_docs=true`, all rows', 'row', 1, (target) =>
      whole(target, '_all_docs?include_docs=true', count),
    ),
    reading('revs-diff-present', '`_revs_diff`, 1000 ids, all present', 'document', 4, async (target) =>
      revsDiff(target, await revisions(target), '{}'),
    ),
    reading('revs-diff-missing', '`_revs_diff`, 1000 ids, all missing', 'document', 4, async (target) => {
      const unknown = (await revisions(target)).map(([id]): Revision => [`new-${id}`, `1-${md5(id)}`]);
      return revsDiff(target, unknown, '"missing"');
    }),
    reading('bulk-get', '`_bulk_get`, 1000 ids with revisions', 'document', 4, async (target) =>
      bulkGet(target, await revisions(target)),
    ),
    ...viewWorkloads(count),
  ];
}

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

/** Makes the database that is read. */
export async function fill(target: Target, count: number): Promise<void> {
  await target.must('PUT', '/bench');
  const all = documents(count, SIZE);
  for (let done = 0; done < count; done += PAGE) {
    const docs = Array.from({ length: Math.min(PAGE, count - done) }, () => all.next().value as unknown);
    await target.must('POST', '/bench/_bulk_docs', JSON.stringify({ docs }));
  }
}

// ---- reading --------------------------------------------------------------------------------------------------

const idAt = (index: number): string => `doc-${String(index).padStart(7, '0')}`;

/** Documents from all over the database; the same ones in the same order at every call. */
function scattered(target: Target, count: number, requests: number): Round {
  const requestOf = (index: number): Buffer =>
    target.request('GET', `/bench/${idAt((index * 7919) % count)}`);
  const all = Array.from({ length: requests }, (_, index) => requestOf(index));
  return {
    units: requests,
    requests: (connection) => strided(all, connection, 50),
    sample: { request: requestOf(1), holds: (answer) => answer.includes('"even":') },
  };
}

function whole(target: Target, path: string, rows: number): Round {
  const request = target.request('GET', `/bench/${path}`);
  return {
    units: rows,
    requests: () => strided([request], 0, 1),
    sample: { request, holds: (answer) => answer.split('"id":').length > rows },
  };
}

const DESIGN = {
  _id: '_design/bench',
  filters: { half: 'function (doc, req) { return doc.even === (req.query.even !== "false"); }' },
};

/** Every document is judged, and counts as a row. */
async function filtered(target: Target, count: number): Promise<Round> {
  // The database keeps it for the next round.
  await target.must('POST', '/bench/_bulk_docs', JSON.stringify({ docs: [DESIGN] }));
  const request = target.request('GET', '/bench/_changes?filter=bench/half');
  return {
    units: count,
    requests: () => strided([request], 0, 1),
    sample: { request, holds: (answer) => answer.split('"id":').length > count / 2 },
  };
}

function changesPages(target: Target, rows: number): Round {
  const requestSince = (since: string): Buffer =>
    target.request(
      'GET',
      `/bench/_changes?style=all_docs&limit=${String(PAGE)}&since=${encodeURIComponent(since)}`,
    );
  function* pages(): Generator<Buffer, void, string> {
    let since = '0';
    for (let page = 0; page < rows / PAGE; page++) {
      const answer = yield requestSince(since);
      const [, token = ''] = /"last_seq":"?([^",}]+)/.exec(answer.slice(-500)) ?? [];
      since = token;
    }
  }
  return {
    units: rows,
    requests: pages,
    follows: true,
    sample: {
      request: requestSince('0'),
      holds: (answer) => answer.split('"id":').length > Math.min(rows, PAGE),
    },
  };
}

type Revision = readonly [id: string, rev: string];

/** The revisions of the first documents of the database. */
async function revisions(target: Target): Promise<Revision[]> {
  const text = await target.must('GET', `/bench/_all_docs?limit=${String(REVISIONS)}`);
  const { rows } = JSON.parse(text) as { rows: { id: string; value: { rev: string } }[] };
  // Another workload may have left its design document.
  const documents = rows.filter(({ id }) => !id.startsWith('_design/'));
  return documents.map(({ id, value }) => [id, value.rev]);
}

const REVISIONS = 20_000;

/** Look-ups of 1000 revisions each. */
function lookups(
  target: Target,
  path: string,
  all: readonly Revision[],
  bodyOf: (revisions: readonly Revision[]) => unknown,
  holds: (answer: string) => boolean,
): Round {
  const requests: Buffer[] = [];
  for (let from = 0; from < all.length; from += PAGE) {
    requests.push(
      target.request('POST', `/bench/${path}`, JSON.stringify(bodyOf(all.slice(from, from + PAGE)))),
    );
  }
  const [first] = requests;
  if (first === undefined) throw new Error('there are no documents to look up');
  return {
    units: all.length,
    requests: (connection) => strided(requests, connection, 4),
    sample: { request: first, holds },
  };
}

const revsDiff = (target: Target, all: readonly Revision[], expected: string): Round =>
  lookups(
    target,
    '_revs_diff',
    all,
    (some) => Object.fromEntries(some.map(([id, rev]) => [id, [rev]])),
    (answer) => answer.includes(expected),
  );

const bulkGet = (target: Target, all: readonly Revision[]): Round =>
  lookups(
    target,
    '_bulk_get?revs=true',
    all,
    (some) => ({ docs: some.map(([id, rev]) => ({ id, rev })) }),
    (answer) => answer.split('"even":').length > Math.min(all.length, PAGE),
  );

// ---- writing --------------------------------------------------------------------------------------------------

/** The requests that write some documents, in turn into each of some databases. */
type Write = (target: Target, databases: readonly string[], all: readonly unknown[]) => Buffer[];

/** What databases have before documents are written into them. */
interface Prepared {
  readonly databases?: number;
  /** The members of a design document. */
  readonly design?: unknown;
}

/** Writes into databases that are new in each round. */
function writing(
  name: string,
  title: string,
  connections: number,
  count: number,
  requestsOf: Write,
  { databases = 1, design }: Prepared = {},
): Workload {
  return {
    name,
    title,
    unit: 'document',
    connections,
    async prepare(target, round) {
      const names = Array.from(
        { length: databases },
        (_, at) => `bench-${name}-${String(round)}-${String(at)}`,
      );
      await Promise.all(names.map((database) => target.must('PUT', `/${database}`)));
      if (design !== undefined) {
        const text = JSON.stringify(design);
        await Promise.all(names.map((database) => target.must('PUT', `/${database}/_design/bench`, text)));
      }
      const requests = requestsOf(target, names, [...documents(count, SIZE)]);
      const [sample] = requestsOf(target, names, [...documents(1, SIZE, 'sample-')]);
      if (sample === undefined) throw new Error(`${name} has no requests`);
      return {
        units: count,
        requests: (connection) => strided(requests, connection, connections),
        sample: { request: sample, holds: (answer) => !answer.includes('"error"') },
        tidy: async () => {
          await Promise.all(names.map((database) => target.must('DELETE', `/${database}`)));
        },
      };
    },
  };
}

/** Where there are two for each connection, no write shares a sync with another. */
const manyDatabases = (databases: number, count: number): Workload =>
  writing('put-databases', `the same over ${String(databases)} databases`, 50, count, putNew, { databases });

/** Of ordinary length; it lets all documents pass. */
const VALIDATE = `function (newDoc, oldDoc, userCtx, secObj) {
  function require(field, message) {
    if (newDoc[field] === undefined) throw({ forbidden: message || 'Document must have a ' + field });
  }
  function unchanged(field) {
    if (oldDoc && JSON.stringify(oldDoc[field]) !== JSON.stringify(newDoc[field])) {
      throw({ forbidden: 'Field ' + field + ' cannot be changed' });
    }
  }
  if (userCtx.roles.indexOf('_admin') < 0 && userCtx.roles.indexOf('writer') < 0) {
    throw({ unauthorized: 'You may not write here' });
  }
  if (newDoc._deleted) return;
  require('_id');
  require('even');
  if (typeof newDoc.even !== 'boolean') throw({ forbidden: 'even must be true or false' });
  if (newDoc.tags && !isArray(newDoc.tags)) throw({ forbidden: 'tags must be a list' });
  unchanged('type');
  unchanged('created');
}`;

const inTurn = (databases: readonly string[], index: number): string =>
  databases[index % databases.length] ?? '';

const putNew: Write = (target, databases, all) =>
  all.map((doc, index) => {
    const { _id } = doc as { _id: string };
    return target.request('PUT', `/${inTurn(databases, index)}/${_id}`, JSON.stringify(doc));
  });

const bulk =
  (newEdits: boolean): Write =>
  (target, databases, all) => {
    const requests: Buffer[] = [];
    for (let from = 0; from < all.length; from += BATCH) {
      const docs = all
        .slice(from, from + BATCH)
        .map((doc) => (newEdits ? doc : replicated(doc as { _id: string })));
      const body = newEdits ? { docs } : { docs, new_edits: false };
      const database = inTurn(databases, requests.length);
      requests.push(target.request('POST', `/${database}/_bulk_docs`, JSON.stringify(body)));
    }
    return requests;
  };

/** The third revision of a document with its ancestors, as a replicator sends it. */
function replicated(doc: { _id: string }): unknown {
  const ids = [3, 2, 1].map((generation) => md5(`${doc._id}${String(generation)}`));
  return { ...doc, _rev: `3-${ids[0] ?? ''}`, _revisions: { start: 3, ids } };
}
