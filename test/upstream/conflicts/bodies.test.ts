import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { LoadedDocument } from '../../../src/conflicts/loaded.js';
import type { Content } from '../../../src/conflicts/types.js';
import { PeerUnreachable } from '../../../src/replication/peer.js';
import { UpstreamBodies } from '../../../src/upstream/mirrors/bodies.js';
import { type Flows, newFlows } from '../mirrors/flows.js';
import { withUpstreams } from '../mirrors/upstreams.js';

/** @param peerOf where databases are; with the flows' own when left out */
function bodiesOf(flows: Flows, peerOf: () => unknown = () => flows.remote): UpstreamBodies {
  return new UpstreamBodies({
    upstream: { peerOf } as never,
    isMirrored: (name) => name === flows.name,
    closing: flows.signal,
    log: { info: () => undefined } as never,
  });
}

const replicated = (flows: Flows, ...docs: object[]): Promise<unknown> =>
  flows.ask('POST', '_bulk_docs', { new_edits: false, docs });

/** What a revision of the document `a`, of which the leaves are here, holds for those who merge. */
const contentOf = (flows: Flows, rev: string): Promise<Content | undefined> =>
  flows.use(async (db) => {
    const record = db.get('a');
    if (record === undefined) throw new Error('it did not come');
    const elsewhere = { source: bodiesOf(flows), signal: flows.signal, mayLack: true };
    const document = new LoadedDocument(db, record, elsewhere);
    await document.read([...document.live, rev]);
    return document.content(rev);
  });

withUpstreams('bodies of older revisions', (upstream) => {
  test('are read as far as the upstream has them, those of many documents together', async () => {
    const flows = await newFlows(upstream());
    const ids = Array.from({ length: 250 }, (_, at) => `d${at}`);
    await replicated(flows, ...ids.map((_id, n) => ({ _id, _rev: '1-a', n: 1e300, m: n })));
    const next = { _revisions: { start: 2, ids: ['b', 'a'] } };
    await replicated(flows, ...ids.map((_id) => ({ _id, ...next, n: 0 })));
    let asked = 0;
    const bodies = bodiesOf(flows, () => {
      asked++;
      return flows.remote;
    });
    const read = (id: string): ReturnType<typeof bodies.read> =>
      bodies.read(flows.name, id, ['1-a', '1-none'], flows.signal);
    const found = await Promise.all([...ids, 'none'].map(read));
    expect(asked).toBeLessThan(6);
    expect(found.pop()).toEqual(new Map());
    for (const [at, its] of found.entries()) {
      expect([...(its?.keys() ?? [])]).toEqual(['1-a']);
      expect(JSON.parse(`{${its?.get('1-a')?.body ?? ''}}`)).toEqual({ n: 1e300, m: at });
    }
  });

  test('are not taken for missing where the upstream could not read one of the document', async () => {
    const flows = await newFlows(upstream());
    await replicated(flows, { _id: 'a', _rev: '1-a', n: 1 }, { _id: 'b', _rev: '1-b', n: 2 });
    const failure = { error: { id: 'a', rev: '1-x', error: 'timeout', reason: 'The request timed out.' } };
    const missing = { error: { id: 'b', rev: '1-x', error: 'not_found', reason: 'missing' } };
    const results = [
      { id: 'a', docs: [failure] },
      { id: 'b', docs: [missing] },
    ];
    const client = {
      send: () => Promise.resolve({ body: Readable.from([Buffer.from(JSON.stringify({ results }))]) }),
    };
    const bodies = bodiesOf(flows, () => ({ client }));
    const read = (id: string): ReturnType<typeof bodies.read> =>
      bodies.read(flows.name, id, ['1-x'], flows.signal);
    expect(await Promise.all([read('a'), read('b')])).toEqual([undefined, new Map()]);
  });

  test('have attachments that compare with those here, compressed ones too', async () => {
    const flows = await newFlows(upstream());
    const file = (content_type: string): object => ({
      content_type,
      revpos: 1,
      data: Buffer.from('the same '.repeat(50)).toString('base64'),
    });
    const stub = { stub: true, revpos: 1 };
    await replicated(flows, {
      _id: 'a',
      _rev: '1-a',
      _attachments: { text: file('text/plain'), image: file('image/png') },
    });
    await replicated(flows, {
      _id: 'a',
      _revisions: { start: 2, ids: ['b', 'a'] },
      _attachments: { text: stub, image: stub },
    });
    await flows.pull();
    const base = await contentOf(flows, '1-a');
    expect(base?.attachments.size).toBe(2);
    expect(base?.attachments).toEqual((await contentOf(flows, '2-b'))?.attachments);
  });

  test('are not known where something attached cannot be compared', async () => {
    const flows = await newFlows(upstream());
    const data = Buffer.from('nowhere else '.repeat(50)).toString('base64');
    await replicated(flows, {
      _id: 'a',
      _rev: '1-a',
      _attachments: { f: { content_type: 'text/plain', data } },
    });
    await replicated(flows, { _id: 'a', _revisions: { start: 2, ids: ['b', 'a'] } });
    await flows.pull();
    expect(await contentOf(flows, '1-a')).toBeUndefined();
    expect(await contentOf(flows, '2-b')).toBeDefined();
  });

  test('are nowhere for a database without upstream, and cannot be asked for while that is away', async () => {
    const flows = await newFlows(upstream());
    expect(await bodiesOf(flows).read('another', 'a', ['1-a'], flows.signal)).toEqual(new Map());
    const away = bodiesOf(flows, () => {
      throw new PeerUnreachable('away');
    });
    expect(await away.read(flows.name, 'a', ['1-a'], flows.signal)).toBeUndefined();
  });
});

test('of those that are no documents, or were not asked for, nothing is known, and the others count', async () => {
  const odd = [
    'null',
    '1',
    '{}',
    '{"_id":"a","_rev":"1-c","_attachments":{"f":{"stub":true,"digest":1}}}',
    '{"_id":"a","_rev":"1-d","_attachments":[]}',
  ];
  const rows = [
    ...odd.map((ok) => `{"docs":[{"ok":${ok}}]}`),
    'null',
    '{"docs":[{"ok":{"_id":"a","_rev":"1-a"}},{"ok":{"_id":"a","_rev":"2-leaf"}}]}',
  ];
  const send = (): Promise<object> =>
    Promise.resolve({ body: Readable.from([Buffer.from(`{"results":[${rows.join(',')}]}`)]) });
  const { signal } = new AbortController();
  const bodies = new UpstreamBodies({
    upstream: { peerOf: () => ({ client: { send } }) } as never,
    isMirrored: () => true,
    closing: signal,
    log: { info: () => undefined } as never,
  });
  const found = await bodies.read('db', 'a', ['1-a', '1-b'], signal);
  expect(found && [...found.keys()]).toEqual(['1-a']);
});
