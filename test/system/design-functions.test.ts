import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import nano from 'nano';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryFolder } from '../support/server.js';
import { live, PouchDB, remotePouch } from './support/pouch.js';
import { Restartable } from './support/restartable.js';
import { until } from './support/wait.js';

interface Task {
  _id?: string;
  owner?: string;
  done?: boolean;
}

let gateway: Restartable;
let folder: string;
let tasks: nano.DocumentScope<Task>;

beforeAll(async () => {
  folder = await temporaryFolder();
  await mkdir(folder, { recursive: true });
  gateway = await Restartable.start();
  const { username, password } = gateway.auth;
  const server = nano(gateway.url.replace('://', `://${username}:${password}@`));
  await server.db.create('tasks');
  tasks = server.use<Task>('tasks');
  await server.request({
    method: 'PUT',
    db: 'tasks',
    doc: '_design/app',
    body: {
      filters: { mine: 'function (doc, req) { return doc.owner === req.query.owner || doc._deleted; }' },
      views: { open: { map: 'function (doc) { if (doc.owner && !doc.done) { emit(doc.owner); } }' } },
      updates: {
        done: `function (doc, req) {
          var given = JSON.parse(req.body);
          if (!doc) { return [{_id: req.id, owner: given.owner, done: false}, {code: 201, json: {made: req.id}}]; }
          doc.done = true;
          return [doc, {json: {by: given.by, query: req.query}}];
        }`,
      },
      shows: { title: 'function (doc, req) { return "<b>" + doc.owner + "</b>" + (req.query.mark || ""); }' },
    },
  });
  const docs = Array.from({ length: 250 }, (_, n) => ({
    _id: `task-${String(n).padStart(3, '0')}`,
    owner: n % 2 === 0 ? 'ann' : 'bob',
    done: n % 5 === 0,
  }));
  await tasks.bulk({ docs });
});
afterAll(async () => {
  await gateway.remove();
  await rm(folder, { recursive: true, force: true });
});

const replica = (name: string): PouchDB => new PouchDB(path.join(folder, name), { adapter: 'leveldb' });
const source = (): PouchDB => remotePouch(`${gateway.url}/tasks`, gateway.auth);

async function tasksOf(db: PouchDB): Promise<Task[]> {
  const { rows } = await db.allDocs({ include_docs: true });
  return rows.map(({ doc }) => doc as Task);
}

it('PouchDB pulls what a filter function lets through, and goes on with it live', async () => {
  const db = replica('mine');
  const options = { filter: 'app/mine', query_params: { owner: 'ann' } };
  expect(await db.replicate.from(source(), options)).toMatchObject({ ok: true, docs_written: 125 });
  expect(new Set((await tasksOf(db)).map(({ owner }) => owner))).toEqual(new Set(['ann']));
  // It goes on from its checkpoint.
  expect(await db.replicate.from(source(), options)).toMatchObject({ ok: true, docs_read: 0 });

  const replication = db.replicate.from(source(), { ...live, ...options });
  await tasks.insert({ owner: 'bob' }, 'later-bob');
  await tasks.insert({ owner: 'ann' }, 'later-ann');
  await until('the new task is there', async () => (await tasksOf(db)).length === 126);
  const { _rev } = await tasks.get('later-ann');
  await tasks.destroy('later-ann', _rev);
  await until('and is gone again', async () => (await tasksOf(db)).length === 125);
  replication.cancel();
  await replication;
  await db.close();
});

it('PouchDB pulls what a view emits for', async () => {
  const db = replica('open');
  await db.replicate.from(source(), { filter: '_view', view: 'app/open' });
  const found = (await tasksOf(db)).filter(({ _id }) => _id?.startsWith('task-'));
  expect(found.length).toBe(200);
  expect(found.every(({ done }) => done !== true)).toBe(true);
  await db.close();
});

it('nano calls update and show functions', async () => {
  expect(await tasks.atomic('app', 'done', 'new', { owner: 'eve' })).toEqual({ made: 'new' });
  expect(await tasks.updateWithHandler('app', 'done', 'new', { by: 'nano' })).toEqual({
    by: 'nano',
    query: {},
  });
  expect(await tasks.get('new')).toMatchObject({ owner: 'eve', done: true });
  expect(await tasks.show('app', 'title', 'new')).toBe('<b>eve</b>');
  expect(await tasks.show('app', 'title', 'new', { mark: '!' })).toBe('<b>eve</b>!');
  await expect(tasks.show('app', 'none', 'new')).rejects.toMatchObject({ statusCode: 404 });
});
