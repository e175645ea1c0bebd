import { randomUUID } from 'node:crypto';
import type { Target } from './target.js';
import { reading, type Round, strided, type Workload } from './workload.js';

/** Rows of a page, requests of a round at most, documents of an answer of `_find`. */
const PAGE = 1000;
const MOST_REQUESTS = 2000;
const FOUND = 25;

/** Views and Mango queries, for a database `bench` of so many documents. */
export function viewWorkloads(count: number): readonly Workload[] {
  return [
    reading('view-build', 'first build of three views', 'document', 1, (target) => build(target, count)),
    reading('view-count', '`_count` over a range of a view', 'request', 1, (target) => counts(target, count)),
    reading('view-pages', 'a view with `include_docs=true`, pages of 1000', 'row', 1, (target) =>
      pages(target, count),
    ),
    reading('find-index', '`_find` with an index, 25 documents', 'request', 1, (target) =>
      findByIndex(target, count),
    ),
    reading('find-scan', '`_find` without an index', 'document', 1, (target) => scan(target, count)),
  ];
}

/** @param mark tells the views from all others, so that they have an index of their own */
const views = (mark: string): object => ({
  index: { map: `function (doc) { emit(doc.index); /* ${mark} */ }`, reduce: '_count' },
  even: { map: 'function (doc) { emit([doc.even, doc.index], doc.index); }', reduce: '_sum' },
  text: { map: 'function (doc) { if (doc.text) emit(doc.text.slice(0, 20), doc.index); }' },
});

/** Writes a design document, unless it is there. */
async function write(target: Target, id: string, members: object): Promise<void> {
  await target.must('POST', '/bench/_bulk_docs', JSON.stringify({ docs: [{ _id: id, ...members }] }));
}

async function build(target: Target, count: number): Promise<Round> {
  const mark = randomUUID();
  const path = `/bench/_design/${mark}`;
  await write(target, `_design/${mark}`, { views: views(mark) });
  return {
    units: count,
    requests: () => strided([target.request('GET', `${path}/_view/index`)], 0, 1),
    // What asks for a view builds it.
    sample: { request: target.request('GET', path), holds: (answer) => answer.includes(mark) },
    tidy: async () => {
      const { _rev } = JSON.parse(await target.must('GET', path)) as { _rev: string };
      await target.must('DELETE', `${path}?rev=${_rev}`);
      await target.must('POST', '/bench/_view_cleanup', '{}');
    },
  };
}

const VIEW = '/bench/_design/bench-views/_view/index';

/** Makes a view, and builds it. */
async function prepareView(target: Target): Promise<void> {
  await write(target, '_design/bench-views', { views: views('kept') });
  await target.must('GET', VIEW);
}

async function counts(target: Target, count: number): Promise<Round> {
  await prepareView(target);
  const requests = Array.from({ length: Math.min(count, MOST_REQUESTS) }, (_, at) => {
    const start = (at * 7919) % (count >> 1);
    return target.request(
      'GET',
      `${VIEW}?startkey=${String(start)}&endkey=${String(start + (count >> 1) - 1)}`,
    );
  });
  return sampled(requests, (answer) => answer.includes(`"value":${String(count >> 1)}`));
}

async function pages(target: Target, rows: number): Promise<Round> {
  await prepareView(target);
  const requestFrom = (key: number): Buffer =>
    target.request(
      'GET',
      `${VIEW}?reduce=false&include_docs=true&limit=${String(PAGE)}&startkey=${String(key)}`,
    );
  const requests = Array.from({ length: Math.ceil(rows / PAGE) }, (_, page) => requestFrom(page * PAGE));
  return {
    ...sampled(requests, (answer) => answer.split('"doc":').length > Math.min(rows, PAGE)),
    units: rows,
  };
}

async function findByIndex(target: Target, count: number): Promise<Round> {
  const index = { index: { fields: ['index'] }, ddoc: 'bench-index', name: 'by-index' };
  await target.must('POST', '/bench/_index', JSON.stringify(index));
  const requests = Array.from({ length: Math.min(count, MOST_REQUESTS) }, (_, at) => {
    const selector = { index: { $gte: (at * 7919) % (count - FOUND) } };
    return target.request('POST', '/bench/_find', JSON.stringify({ selector, limit: FOUND }));
  });
  return sampled(requests, (answer) => answer.split('"_id":').length > FOUND);
}

function scan(target: Target, count: number): Round {
  const query = { selector: { text: { $gt: 'x' } }, limit: FOUND };
  const request = target.request('POST', '/bench/_find', JSON.stringify(query));
  return { ...sampled([request], (answer) => answer.includes('"docs":[')), units: count };
}

/** Requests one after the other, the first of which shows that the server does what is measured. */
function sampled(requests: readonly Buffer[], holds: (answer: string) => boolean): Round {
  const [request = Buffer.alloc(0)] = requests;
  return {
    units: requests.length,
    requests: (connection) => strided(requests, connection, 1),
    sample: { request, holds },
  };
}
