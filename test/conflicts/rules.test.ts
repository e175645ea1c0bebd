import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StartError } from '../../src/config/exit.js';
import { loadConfig } from '../../src/config/load.js';
import { MergeRule } from '../../src/conflicts/rules.js';
import { Rules } from '../../src/upstream/rules.js';
import { startUsers, type Users } from '../auth/users/gateway.js';
import { until } from '../system/support/wait.js';

function refusal(merge: unknown): readonly string[] {
  try {
    Rules.of(loadConfig({ values: { databases: [{ match: 'a', mode: 'local', merge }] } as object }).config);
    return [];
  } catch (error) {
    return (error as StartError).lines;
  }
}

test('a way to merge that there is not is refused at the start, with what is wrong', () => {
  const line = (text: string): unknown => [expect.stringContaining(`databases.0.merge: ${text}`)];
  expect(refusal('keep')).toEqual([]);
  expect(refusal({ function: 'three-way', fields: { '/n': 'counter' } })).toEqual([]);
  expect(refusal('tree-way')).toEqual(line('there is no merge function tree-way; did you mean three-way?'));
  expect(refusal('keeps')).toEqual(line('there is no merge function keeps; did you mean keep?'));
  expect(refusal('mine')).toEqual([expect.stringMatching(/there are three-way, .*, text, keep$/)]);
  expect(refusal({ function: 'union', field: 1 })).toEqual(line('union has no option field'));
  expect(refusal({ function: 'keep', field: 1 })).toEqual(line('keep has no option field'));
  expect(refusal([{ selector: { n: { $x: 1 } }, function: 'union' }])).toEqual(line('0: selector: '));
  expect(refusal([])).toHaveLength(1);
  expect(refusal({ fields: {} })).toHaveLength(1);
});

test('rules that may resolve something otherwise have other versions', () => {
  const version = (merge: Parameters<typeof MergeRule.of>[0]): string | undefined =>
    MergeRule.of(merge)?.version;
  const versions = [
    version('keep'),
    version('union'),
    version({ function: 'union', withoutBase: 'add' }),
    version([{ function: 'union', selector: { a: 1 } }]),
    version([{ function: 'union', selector: { a: 2 } }]),
  ];
  expect(versions[0]).toBeUndefined();
  expect(new Set(versions).size).toBe(versions.length);
  expect(version([{ function: 'union' }])).toBe(version('union'));
});

let it: Users;
beforeAll(async () => {
  const merge = { function: 'three-way', fields: { '/n': 'counter' } };
  it = await startUsers({ databases: [{ match: 'counts-*', mode: 'local', merge }] });
});
afterAll(() => it.stop());

test('a gateway merges what it is told to merge, where the functions of the database let it', async () => {
  for (const name of ['counts-1', 'other']) {
    await it.ask('PUT', `/${name}`);
    const validate = `function (doc) { if (doc.n > 100) throw {forbidden: 'too many'}; }`;
    await it.ask('PUT', `/${name}/_design/d`, { json: { validate_doc_update: validate } });
    const edits = ['a', 'b'].flatMap((id) => {
      const leaf = (hash: string, n: number): object => ({
        _id: id,
        _revisions: { start: 2, ids: [hash, 'o'] },
        n,
      });
      const most = id === 'a' ? 2 : 100;
      return [{ _id: id, _rev: '1-o', n: 0 }, leaf('x', 1), leaf('y', most)];
    });
    await it.ask('POST', `/${name}/_bulk_docs`, { json: { docs: edits, new_edits: false } });
  }
  const read = async (at: string): Promise<unknown> => (await it.ask('GET', `${at}?conflicts=true`)).body;
  await until('it is merged', async () => !('_conflicts' in ((await read('/counts-1/a')) as object)));
  expect(await read('/counts-1/a')).toMatchObject({ n: 3 });
  expect(await read('/counts-1/b')).toMatchObject({ n: 100, _conflicts: ['2-x'] });
  expect(await read('/other/a')).toMatchObject({ n: 2, _conflicts: ['2-x'] });
});
