import { expect, test } from 'vitest';
import { ValidatedView } from '../../src/design/validation.js';
import type { DesignFunctions, Sandbox } from '../../src/design/types.js';
import { notFound, unavailable } from '../../src/errors.js';
import { newFolder, openDatabase, outcome, put } from '../support/store.js';

/** A sandbox that only judges, as it is told. */
const judging = (validate: DesignFunctions['validate']): Sandbox =>
  ({ design: () => ({ validate }) }) as unknown as Sandbox;

const ADMIN = { name: 'admin', roles: ['_admin'] };

test('functions that cannot be asked refuse everything that they would be asked about', async () => {
  const db = await openDatabase(await newFolder());
  await put(db, { _id: '_design/rule', validate_doc_update: 'function () {}' });
  const closed = new ValidatedView(
    db,
    judging(() => Promise.reject(unavailable('stopping'))),
    ADMIN,
  );
  const results = await put(closed, { _id: 'a' }, { _id: '_design/b' });
  expect(results.map(outcome)).toEqual(['service_unavailable', expect.stringMatching(/^1-/)]);
  const broken = new ValidatedView(
    db,
    judging(() => Promise.reject(new TypeError('broken'))),
    ADMIN,
  );
  await expect(put(broken, { _id: 'a' })).rejects.toThrow('broken');
  expect(db.get('a')).toBeUndefined();
});

test('a rule that is gone when it is asked for holds no more', async () => {
  const db = await openDatabase(await newFolder());
  await put(db, { _id: '_design/rule', validate_doc_update: 'function () {}' });
  let removed: Promise<unknown> | undefined;
  const design = (): never => {
    removed = put(db, { _id: '_design/rule', _rev: db.get('_design/rule')?.winner, _deleted: true });
    throw notFound('deleted');
  };
  const view = new ValidatedView(db, { design } as unknown as Sandbox, ADMIN);
  expect((await put(view, { _id: 'a' })).map(outcome)).toEqual([expect.stringMatching(/^1-/)]);
  await removed;
});
