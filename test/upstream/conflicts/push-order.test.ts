import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isTombstone } from '../../../src/conflicts/revisions.js';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { until } from '../../system/support/wait.js';
import { isHere, mirroring } from '../mirrors/pair.js';
import { type Recorder, startRecorder } from './recorder.js';

/** Refuses, of what comes from the gateway, documents with more than a few apples, but no deletions. */
const JUDGE = {
  validate_doc_update:
    "function (doc, old, user) { if (user.name === 'admin' && doc.apples > 4) throw { forbidden: 'too many apples' }; }",
};

let back: Users;
let recorder: Recorder;
let front: Users;
beforeAll(async () => {
  back = await startUsers();
  recorder = await startRecorder(back.gateway.url);
  front = await startUsers(
    mirroring(recorder.url, {
      databases: [
        { match: 'keep-*', mode: 'mirror', merge: 'keep-both' },
        {
          match: '*',
          mode: 'mirror',
          merge: { function: 'three-way', fields: { '/apples': 'counter' } },
        },
      ] as never,
    }),
  );
});
afterAll(async () => {
  await front.stop();
  recorder.close();
  await back.stop();
});

/** A database in both places, with the document `basket`. */
async function mirrored(name: string, design?: object): Promise<void> {
  await back.ask('PUT', `/${name}`);
  if (design !== undefined) await back.ask('PUT', `/${name}/_design/judge`, { json: design });
  await front.ask('GET', `/${name}`);
  await isHere({ front, back }, name);
}

const version = (id: string, hash: string, members: object): object => ({
  _id: id,
  _revisions: { start: 2, ids: [hash, 'base'] },
  ...members,
});

/** Writes what two clients made of the document `basket`. */
async function clash(server: Users, name: string, a: object, b: object): Promise<void> {
  const id = 'basket';
  const docs = [
    { _id: id, _revisions: { start: 1, ids: ['base'] }, apples: 1 },
    version(id, 'aa', a),
    version(id, 'bb', b),
  ];
  const write = (some: readonly object[]): Promise<unknown> =>
    server.ask('POST', `/${name}/_bulk_docs`, { json: { docs: some, new_edits: false } });
  await write(docs.slice(0, 1));
  await write(docs.slice(1));
}

interface Leaf {
  readonly _rev: string;
  readonly _deleted?: boolean;
  readonly [member: string]: unknown;
}

async function leavesOf(server: Users, name: string, id: string): Promise<readonly Leaf[]> {
  const { body } = await server.ask('GET', `/${name}/${encodeURIComponent(id)}?open_revs=all`);
  return Array.isArray(body) ? (body as { ok: Leaf }[]).map(({ ok }) => ok) : [];
}

const living = async (server: Users, name: string, id: string): Promise<readonly Leaf[]> =>
  (await leavesOf(server, name, id)).filter(({ _deleted }) => _deleted !== true);

const isMerged = (server: Users, name: string, id: string): Promise<unknown> =>
  until(`${id} to be merged`, async () => {
    const [leaf, ...others] = await living(server, name, id);
    return others.length === 0 && leaf !== undefined && /^[3-9]-/.test(leaf._rev);
  });

/** Where in the course of requests a revision was brought first. */
const broughtAt = (name: string, id: string, rev: string): number =>
  recorder.brought.findIndex((one) => one.name === name && one.revs.includes(`${id} ${rev}`));

const tombstonesBrought = (name: string): readonly string[] =>
  recorder.brought
    .filter((one) => one.name === name)
    .flatMap(({ revs }) => revs)
    .filter((text) => isTombstone(text.slice(text.indexOf(' ') + 1)));

/** Waits for tombstones of `basket`: none was brought before a revision, or together with it. */
async function requireOrder(name: string, id: string, rev = ''): Promise<void> {
  await until('a tombstone', () => tombstonesBrought(name).length > 0);
  const at = broughtAt(name, id, rev);
  const first = recorder.brought.findIndex(
    (one) =>
      one.name === name && one.revs.some((text) => text.startsWith('basket ') && isTombstone(text.slice(7))),
  );
  expect([at, first]).not.toContain(-1);
  expect(first).toBeGreaterThan(at);
}

interface Listed {
  readonly rejections: readonly {
    readonly id: string;
    readonly rev: string;
    readonly reason: string;
    readonly attempts: number;
  }[];
}

const rejected = async (name: string): Promise<Listed['rejections']> =>
  ((await front.ask('GET', `/_gateway/databases/${name}/rejections`)).body as Listed).rejections;

describe('what a merge wrote', () => {
  test('goes up with the merged revision first, its tombstones when that is there', async () => {
    await mirrored('order');
    await clash(front, 'order', { apples: 2 }, { apples: 3 });
    await isMerged(front, 'order', 'basket');
    await isMerged(back, 'order', 'basket');
    const [merged] = await living(back, 'order', 'basket');
    expect(merged?.apples).toBe(4);
    await requireOrder('order', 'basket', merged?._rev);
  });

  test('goes up with its attachments before the tombstones', async () => {
    await mirrored('order-attached');
    const file = { _attachments: { f: { content_type: 'image/png', data: 'Ynl0ZXM=' } } };
    await clash(front, 'order-attached', { apples: 2, ...file }, { apples: 3, pears: 1 });
    await isMerged(back, 'order-attached', 'basket');
    const [merged] = await living(back, 'order-attached', 'basket');
    expect(merged).toMatchObject({ apples: 4, pears: 1, _attachments: { f: { length: 5 } } });
    await requireOrder('order-attached', 'basket', merged?._rev);
  });

  test('goes up with the documents that leaves became before the tombstones', async () => {
    await mirrored('keep-order');
    await clash(front, 'keep-order', { apples: 2 }, { apples: 3 });
    await isMerged(back, 'keep-order', 'basket');
    const [merged] = await living(back, 'keep-order', 'basket');
    expect(merged?.apples).toBe(3);
    const [copy] = await living(back, 'keep-order', 'basket~2-aa');
    expect(copy?.apples).toBe(2);
    await requireOrder('keep-order', 'basket', merged?._rev);
    await requireOrder('keep-order', 'basket~2-aa', copy?._rev);
  });
});

describe('a merge that the upstream refuses', () => {
  const refused = async (name: string): Promise<void> => {
    await mirrored(name, JUDGE);
    await clash(back, name, { apples: 3 }, { apples: 4 });
    await isMerged(front, name, 'basket');
    await until('it to be refused', async () => (await rejected(name)).length === 2);
    await until('everything else to be upstream', async () => {
      const { body } = await front.ask('GET', `/_gateway/databases/${name}`);
      return (body as { ahead: number }).ahead === 0;
    });
  };
  const restOf = (name: string): string => `/_gateway/databases/${name}`;

  test('has its tombstones held with it, while everything else goes on, and goes up with them when it may', async () => {
    const name = 'refused';
    await refused(name);
    await front.ask('PUT', `/${name}/other`, { json: { apples: 1 } });
    await until('the other', async () => (await living(back, name, 'other')).length === 1);
    expect(await rejected(name)).toMatchObject([
      { id: 'basket', rev: expect.stringMatching(/^3-c0a1e5/) as string, reason: 'too many apples' },
      {
        id: 'basket',
        rev: expect.stringMatching(/^3-c105ed/) as string,
        reason: expect.stringMatching(/^It waits for 3-c0a1e5.*too many apples$/) as string,
      },
    ]);
    // What the leaves say is there, and nothing was lost.
    expect((await living(back, name, 'basket')).map(({ apples }) => apples).sort()).toEqual([3, 4]);
    expect(tombstonesBrought(name)).toEqual([]);
    const merged = (await living(front, name, 'basket'))[0]?._rev ?? '';
    const { body } = await front.ask('GET', `${restOf(name)}/synced?id=basket&rev=${merged}`);
    expect(body).toMatchObject({ synced: false, rejected: 2 });
    expect((await front.ask('POST', `${restOf(name)}/evict`, { json: {} })).status).toBe(409);

    // The merged revision may have been tried once more with its tombstones.
    const tried = (await rejected(name)).map(({ attempts }) => attempts);
    const again = await front.ask('POST', `${restOf(name)}/rejections/basket/retry`, { json: {} });
    const rejections = tried.map((attempts) => ({ attempts: attempts + 1 }));
    expect(again.body).toMatchObject({ ok: false, rejections });
    expect(tombstonesBrought(name)).toEqual([]);
    const { _rev } = (await back.ask('GET', `/${name}/_design/judge`)).body as { _rev: string };
    const before = recorder.brought.length;
    await back.ask('DELETE', `/${name}/_design/judge?rev=${_rev}`);
    // The mirror may have found out first.
    await front.ask('POST', `${restOf(name)}/rejections/basket/retry`, { json: {} });
    await until('it to be taken', async () => (await rejected(name)).length === 0);
    const kinds = recorder.brought.slice(before).flatMap(({ revs }) => revs.map((text) => text.slice(0, 15)));
    expect([...new Set(kinds)]).toEqual(['basket 3-c0a1e5', 'basket 3-c105ed']);
    expect(await living(back, name, 'basket')).toMatchObject([{ apples: 6 }]);
  });

  test('is dropped with its tombstones, and comes with its next revision', async () => {
    const name = 'dropped';
    await refused(name);
    expect((await front.ask('DELETE', `${restOf(name)}/rejections/basket`)).status).toBe(200);
    expect(await rejected(name)).toEqual([]);
    await front.ask('PUT', `/${name}/other`, { json: {} });
    await until('the other', async () => (await living(back, name, 'other')).length === 1);
    expect(tombstonesBrought(name)).toEqual([]);
    const [merged] = await living(front, name, 'basket');
    await front.ask('PUT', `/${name}/basket`, { json: { _rev: merged?._rev, apples: 2 } });
    await isMerged(back, name, 'basket');
    expect(await living(back, name, 'basket')).toMatchObject([{ apples: 2 }]);
    const next = (await living(back, name, 'basket'))[0]?._rev;
    await requireOrder(name, 'basket', next);
  });

  test('stays here with its journal where its database is made a local one', async () => {
    const name = 'detached';
    await refused(name);
    expect((await front.ask('POST', `${restOf(name)}/detach`, { json: {} })).status).toBe(200);
    const { body } = await front.ask('GET', `${restOf(name)}/journal`);
    expect(body).toMatchObject({ entries: [{ id: 'basket' }] });
    expect(await living(front, name, 'basket')).toMatchObject([{ apples: 6 }]);
    expect(tombstonesBrought(name)).toEqual([]);
  });

  test('is not followed by its tombstones in a replication to elsewhere', async () => {
    const name = 'elsewhere';
    await mirrored(name);
    await clash(front, name, { apples: 3 }, { apples: 4 });
    await isMerged(back, name, 'basket');
    await back.ask('PUT', '/target');
    await back.ask('PUT', '/target/_design/judge', { json: JUDGE });
    const version_ = { _id: 'basket', _revisions: { start: 2, ids: ['aa', 'base'] }, apples: 3 };
    await back.ask('POST', '/target/_bulk_docs', { json: { docs: [version_], new_edits: false } });
    const replicate = (): Promise<unknown> =>
      front.ask('POST', '/_replicate', {
        json: { source: name, target: `${recorder.url.replace('//', '//admin:secret@')}/target` },
      });
    await replicate();
    expect(await living(back, 'target', 'basket')).toMatchObject([{ apples: 3 }]);
    expect(tombstonesBrought('target')).toEqual([]);
  });
});
