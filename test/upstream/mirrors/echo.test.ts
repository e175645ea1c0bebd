import { expect, test } from 'vitest';
import type { Database } from '../../../src/store/types/database.js';
import { body, put, replicate } from '../../support/store.js';
import { newFlows } from './flows.js';
import { withUpstreams } from './upstreams.js';

const NUMBERS = Array.from({ length: 50 }, (_, n) => String(n));

withUpstreams('what flows between a mirror and its upstream', (upstream) => {
  test('does not go back where it came from, nor is the upstream asked about it', async () => {
    const flows = await newFlows(upstream());
    await flows.ask('POST', '_bulk_docs', { docs: NUMBERS.map((_id) => ({ _id })) });
    expect(await flows.pull()).toMatchObject({ written: 50 });
    expect(await flows.use((db) => Promise.resolve(db.unsent.count))).toBe(0);
    expect(await flows.push()).toEqual({ asked: 0, written: 0, refused: [] });
    // The pull of what went up comes back once, and ends there.
    await flows.use((db) => put(db, { _id: 'new' }));
    expect(await flows.push()).toMatchObject({ asked: 1, written: 1 });
    expect(await flows.pull()).toMatchObject({ written: 0 });
    expect(await flows.push()).toMatchObject({ asked: 0 });
  });

  test('is what was edited here, with attachments and design documents', async () => {
    const flows = await newFlows(upstream());
    await flows.ask('PUT', 'pulled', { n: 1, _attachments: { f: { data: 'Ynl0ZXM=' } } });
    await flows.ask('PUT', '_design/d', { views: {} });
    await flows.pull();
    await flows.use(async (db) => {
      await put(db, {
        _id: '_design/d',
        _rev: db.get('_design/d')?.winner,
        views: {},
        language: 'javascript',
      });
    });
    expect(await flows.push()).toMatchObject({ asked: 1, written: 1 });
    expect(await flows.ask('GET', '_design/d')).toMatchObject({ language: 'javascript' });
  });

  test('is a document that waited, and into which something was pulled meanwhile', async () => {
    const flows = await newFlows(upstream());
    await flows.use((db) => replicate(db, { _id: 'a', _rev: '1-here' }));
    await flows.ask('POST', '_bulk_docs', { docs: [{ _id: 'a', _rev: '1-there' }], new_edits: false });
    await flows.pull();
    expect(await flows.use((db) => Promise.resolve(db.unsent.count))).toBe(1);
    expect(await flows.push()).toMatchObject({ asked: 2, written: 1 });
    expect(await flows.ask('GET', 'a?conflicts=true')).toMatchObject({
      _rev: '1-there',
      _conflicts: ['1-here'],
    });
  });

  test('is everything again for an upstream that lost what it had', async () => {
    const flows = await newFlows(upstream());
    await flows.ask('POST', '_bulk_docs', { docs: NUMBERS.map((_id) => ({ _id })) });
    await flows.pull();
    await flows.use((db) => put(db, { _id: 'new' }));
    await flows.push();
    // As a copy from before would be: without documents and checkpoints.
    await flows.ask('DELETE', '');
    await flows.ask('PUT', '');
    await flows.use((db) => db.unsent.voidAll());
    expect(await flows.push()).toMatchObject({ asked: 51, written: 51 });
    expect(await flows.ask('GET', '')).toMatchObject({ doc_count: 51 });
  });

  test('is a live edit, while everything that is pulled beside it is passed', async () => {
    const flows = await newFlows(upstream());
    const there = (_id: string): Promise<unknown> => flows.ask('PUT', _id, { from: 'there' });
    await there('a');
    await flows.pull();
    await flows.use((db: Database) => put(db, { _id: 'here' }));
    await there('b');
    await flows.pull();
    expect(await flows.push()).toMatchObject({ asked: 1, written: 1 });
    expect(await flows.use((db) => Promise.resolve(body(db, 'b')))).toMatchObject({ from: 'there' });
  });
});
