import type { AddResource } from './index.js';
import { countConflicts } from '../../conflicts/counts.js';
import { notFound, queryParseError } from '../../errors.js';
import {
  detach,
  drop as giveUp,
  evict,
  pullAnew,
  pushAll,
  resync,
  retry as retryNow,
} from '../../upstream/mirrors/choices.js';
import type { Mirror } from '../../upstream/mirrors/mirror.js';
import { type Absence, absenceText, inFigures } from '../../upstream/mirrors/shown.js';
import { MIRROR_STATES } from '../../upstream/mirrors/state.js';
import { isSynced, type Question, whenSynced } from '../../upstream/mirrors/synced.js';
import type { Exchange } from '../exchange.js';
import { count, pageOf, stateOf } from '../page.js';
import { parseBoolean } from '../query.js';
import { aboutDatabase, json, onServer, type Operation, type ServerHandler } from '../resource.js';
import { ruleOf } from './conflicts.js';
import { shown as shownRejection } from './rejections.js';

const LIST = '/_gateway/databases';
const ONE = `${LIST}/:db`;

const NOT_KEPT = ['Cache-Control', 'no-cache'];

/** What mirrors do, what waits in them, and what admins may do with them. */
export function mirrorRoutes(add: AddResource): void {
  const get = (path: string, operation: Operation, other: Operation): void =>
    add({ path, allow: 'GET,HEAD', methods: { GET: operation }, other });
  get(LIST, onServer('metrics', list), onServer('metrics'));
  for (const [path, run] of [
    [ONE, one],
    [`${ONE}/pending`, pending],
    [`${ONE}/synced`, synced],
  ] as const)
    get(path, aboutDatabase('member', run), aboutDatabase('member'));
  get(`${ONE}/rejections`, aboutDatabase('databaseAdmin', rejections), aboutDatabase('databaseAdmin'));
  add({
    path: `${ONE}/rejections/:docid`,
    allow: 'DELETE',
    methods: { DELETE: aboutDatabase('databaseAdmin', drop) },
    other: aboutDatabase('databaseAdmin'),
  });
  const post = (path: string, right: 'databaseAdmin' | 'serverAdmin', run: ServerHandler): void =>
    add({
      path,
      allow: 'POST',
      methods: { POST: json(aboutDatabase(right, run)) },
      other: aboutDatabase(right),
    });
  post(`${ONE}/rejections/:docid/retry`, 'databaseAdmin', retry);
  for (const [name, act] of Object.entries(ACTIONS))
    post(`${ONE}/${name}`, 'serverAdmin', async (exchange) => {
      const answer = await act(mirrorOf(exchange), exchange);
      exchange.json(200, JSON.stringify({ ok: true, ...Object(answer) }));
    });
}

/** @returns what there is to be said besides that it is done */
type Action = (mirror: Mirror, exchange: Exchange) => Promise<unknown>;

const ACTIONS: Readonly<Record<string, Action>> = {
  pause: (mirror) => mirror.pause(),
  resume: (mirror) => mirror.resume(),
  sync: (mirror) => mirror.sync(),
  resync,
  evict: (mirror, exchange) => evict(mirror, { force: parseBoolean(exchange.parameter('force') ?? false) }),
  detach,
  'push-all': pushAll,
  'pull-anew': async (mirror) => ({ kept: await pullAnew(mirror) }),
};

/** @throws CouchError 404 */
function mirrorOf(exchange: Exchange): Mirror {
  const mirror = exchange.server.mirrors.get(exchange.param('db'));
  if (mirror === undefined) throw notFound('The database has no mirror here.');
  return mirror;
}

/** All mirrors, or those in one state, as far as it is known without opening them. */
function list(exchange: Exchange): void {
  const { start, limit } = pageOf(exchange);
  const state = stateOf(exchange, MIRROR_STATES);
  const { mirrors, databases: open } = exchange.server;
  const { absence } = mirrors;
  const all = mirrors.list().filter(({ standing }) => state === undefined || standing.state === state);
  const databases = all.slice(start, start + limit).map((mirror) => ({
    ...inFigures(mirror.glance(), absence),
    conflicts: open.peek(mirror.name)?.conflicts.count ?? null,
  }));
  exchange.json(200, JSON.stringify({ total: all.length, start, databases }), NOT_KEPT);
}

/** Where a database is, and everything that is known of its mirror. */
async function one(exchange: Exchange): Promise<void> {
  const { mirrors, upstream } = exchange.server;
  const name = exchange.param('db');
  const mirror = mirrors.get(name);
  const place = mirrors.placeOf(name);
  const counts = place === 'here' ? await countsOf(exchange, name) : { conflicts: null, journal: null };
  if (mirror === undefined) {
    // Server admins come this far whether or not there is one.
    if (place === 'there') await upstream.securityOf(name);
    const at =
      place === 'here'
        ? { mode: 'local' }
        : { mode: 'proxy', copy: (await mirrors.control.copyOf(name)) ?? null };
    exchange.json(200, JSON.stringify({ name, ...at, ...counts }), NOT_KEPT);
    return;
  }
  const [status, rejected, leftOut] = await Promise.all([
    mirror.status(),
    mirrors.rejected.count(mirror),
    mirror.undelivered.countLeftOut(),
  ]);
  exchange.json(
    200,
    JSON.stringify({
      mode: 'mirror',
      ...inFigures(status, mirrors.absence),
      rejections: rejected,
      undelivered: mirror.undelivered.missed.length,
      left_out: leftOut,
      ...counts,
    }),
    NOT_KEPT,
  );
}

/** Conflicts of a database that is here. @throws CouchError 404 where there is none */
async function countsOf(exchange: Exchange, name: string): Promise<object> {
  const { databases, conflicts } = exchange.server;
  const { journal, ...counts } = await databases.use(name, (db) => countConflicts(db, ruleOf(exchange, db)));
  return { conflicts: { ...counts, purged: conflicts.purged(name) }, journal };
}

/** What is not upstream yet, the oldest first; `next` is where the following page begins. */
async function pending(exchange: Exchange): Promise<void> {
  const mirror = mirrorOf(exchange);
  const { start, limit } = pageOf(exchange);
  const { server } = exchange;
  const body = await server.databases.use(mirror.name, async ({ unsent }) => {
    const rows: object[] = [];
    let next: number | null = null;
    for await (const page of unsent.rows({ since: start, pageSize: limit + 1 })) {
      for (const { seq, text } of page.slice(0, limit - rows.length)) {
        const { id, changes } = JSON.parse(text) as { id: string; changes: { rev: string }[] };
        rows.push({ id, revs: changes.map(({ rev }) => rev) });
        next = seq;
      }
      if (rows.length >= limit) break;
    }
    const isLast = rows.length < limit;
    return { total: unsent.count, start, next: isLast ? null : next, pending: rows };
  });
  exchange.json(200, JSON.stringify({ operations: operationsOf(mirror), ...body }), NOT_KEPT);
}

/** What is to be done upstream with the database itself. */
const operationsOf = ({ record: { toCreate } }: Mirror): readonly object[] =>
  toCreate === undefined ? [] : [{ operation: 'create', parameters: toCreate }];

/** Whether something is upstream; waits for it as long as the client wants. */
async function synced(exchange: Exchange): Promise<void> {
  const mirror = mirrorOf(exchange);
  const { server } = exchange;
  const question = questionOf(exchange);
  const timeout = Math.min(count(exchange, 'timeout', 0), server.config.limits.changesTimeout);
  if (timeout > 0) server.feeds.enter(exchange);
  mirror.wake();
  const answer = await whenSynced({
    look: async () => {
      // Until it is warm, everything is written there.
      if (mirror.crossing.place === 'there') return { synced: true, ahead: 0, rejected: 0 };
      const rejected = await server.mirrors.rejected.read(mirror);
      return server.databases.use(mirror.name, (db) => isSynced(db, question, rejected));
    },
    onProgress: (listener) => mirror.onProgress(listener),
    timeout,
    signal: server.track(exchange),
  });
  const reason = answer.synced ? null : whyNot(mirror, server.mirrors.absence);
  exchange.json(200, JSON.stringify({ ...answer, reason }), NOT_KEPT);
}

/** Why something may have to wait for longer; null where it is on its way. */
const whyNot = ({ standing: { state, reason } }: Mirror, absence: Absence | null): string | null => {
  if (absence !== null) return absenceText(absence);
  return state === 'warm' ? null : `the mirror is ${state}${reason === undefined ? '' : `: ${reason}`}`;
};

/** @throws CouchError 400 */
function questionOf(exchange: Exchange): Question {
  const [seq, id, rev] = ['seq', 'id', 'rev'].map((name) => exchange.parameter(name));
  if (seq !== undefined && id === undefined && rev === undefined) return { seq };
  if (seq === undefined && id !== undefined && rev !== undefined) return { id, rev };
  throw queryParseError('Either `seq`, or `id` and `rev` must be given.');
}

async function rejections(exchange: Exchange): Promise<void> {
  const mirror = mirrorOf(exchange);
  const { start, limit } = pageOf(exchange);
  const { total, rows, held } = await exchange.server.mirrors.rejected.page(mirror, start, limit);
  const body = {
    total,
    start,
    rejections: rows.map(shownRejection),
    held,
    undelivered: mirror.undelivered.missed,
    left_out: (await mirror.undelivered.leftOut()).map(shownRejection),
  };
  exchange.json(200, JSON.stringify(body), NOT_KEPT);
}

async function drop(exchange: Exchange): Promise<void> {
  await giveUp(mirrorOf(exchange), exchange.param('docid'));
  exchange.json(200, '{"ok":true}');
}

/** Answers when it was tried: `ok` says whether all of the document is upstream now. */
async function retry(exchange: Exchange): Promise<void> {
  const left = await retryNow(mirrorOf(exchange), exchange.param('docid'));
  exchange.json(200, JSON.stringify({ ok: left.length === 0, rejections: left.map(shownRejection) }));
}
