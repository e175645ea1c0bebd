import { expect, test } from 'vitest';
import type { StartError } from '../../src/config/exit.js';
import { loadConfig } from '../../src/config/load.js';
import type { ConfigValues } from '../../src/config/schema.js';
import { showConfig } from '../../src/config/show.js';
import { Rules } from '../../src/upstream/rules.js';

const url = 'http://127.0.0.1:5984';

function refusal(values: object): readonly string[] {
  try {
    loadConfig({ values });
    return [];
  } catch (error) {
    return (error as StartError).lines;
  }
}

test('the first rule that matches the whole name counts, and none does for names of the server itself', () => {
  const rules = new Rules([
    { match: 'archive-*', mode: 'local' },
    { match: 'a?c', mode: 'local' },
    { match: 'a+b/$(c)', mode: 'local' },
    { match: '*', mode: 'proxy' },
  ]);
  const modes = ['archive-', 'archive-1/x', 'my-archive-1', 'abc', 'abbc', 'ac', 'a+b/$(c)', 'aab/$(c)'];
  expect(modes.map((name) => rules.modeOf(name))).toEqual([
    'local',
    'local',
    'proxy',
    'local',
    'proxy',
    'proxy',
    'local',
    'proxy',
  ]);
  expect(['_users', '_replicator', '_x', '', '..', 'A/../b'].map((name) => rules.modeOf(name))).toEqual(
    Array(6).fill('local'),
  );
});

test('rules that cannot be kept are refused', () => {
  const every = { match: '*', mode: 'proxy' };
  expect(refusal({ upstream: { url }, databases: [every] })).toEqual([]);
  expect(refusal({ upstream: { url } })).toEqual([]);
  expect(refusal({ databases: [{ match: '*', mode: 'local' }] })).toEqual([]);
  const lines = [
    { upstream: { url }, databases: [{ match: '*', mode: 'merge' }] },
    { upstream: { url }, databases: [{ match: '*', mode: 'mirror', merging: 'three-way' }] },
    { upstream: { url }, databases: [{ match: 'a*', mode: 'proxy' }] },
    { databases: [every] },
    { databases: [{ match: '*', mode: 'mirror' }] },
    { upstream: { url }, databases: [{ match: '_users', mode: 'proxy' }, every] },
    { upstream: { url }, databases: [{ ...every, start: 'eager' }] },
    { upstream: { url }, databases: [{ match: '*', mode: 'mirror', selector: {}, docIds: ['a'] }] },
    { upstream: { url, maxConnections: 100, maxFeeds: 100 }, databases: [every] },
  ].map(refusal);
  expect(
    lines.map(([line, ...more]) => [/configuration: (\S+)( \(.*\))? is/.exec(line ?? '')?.[1], more]),
  ).toEqual([
    ['databases.0.mode', []],
    ['databases.0.merging', []],
    ['databases', []],
    ['databases', []],
    ['databases', []],
    ['databases.0.match', []],
    ['databases', []],
    ['databases', []],
    ['upstream.maxFeeds', []],
  ]);
});

test('what a mirror is like is said by its rule; without rules all are mirrored on demand', () => {
  const rules = (values: ConfigValues): Rules => Rules.of(loadConfig({ values }).config);
  expect(rules({ upstream: { url } }).mirrorOf('notes')).toEqual({
    match: '*',
    start: 'on-demand',
    direction: 'both',
    createOffline: false,
  });
  expect(rules({ upstream: { url } }).modeOf('_users')).toBe('local');
  expect(rules({}).modeOf('notes')).toBe('local');
  const some = rules({
    upstream: { url },
    databases: [
      { match: 'no', mode: 'local' },
      { match: 'orders', mode: 'mirror', start: 'eager', direction: 'pull', selector: { type: 'order' } },
      { match: 'no', mode: 'mirror', start: 'eager' },
      { match: '*', mode: 'proxy' },
    ],
  });
  expect(some.mirrorOf('orders')).toMatchObject({ direction: 'pull', selector: '{"type":"order"}' });
  expect([some.eagerNames, some.hasEagerPatterns, some.mirrorOf('no')]).toEqual([
    ['orders'],
    false,
    undefined,
  ]);
  expect(
    rules({ upstream: { url }, databases: [{ match: '*', mode: 'mirror', start: 'eager' }] }),
  ).toMatchObject({
    eagerNames: [],
    hasEagerPatterns: true,
  });
  expect(() =>
    rules({ upstream: { url }, databases: [{ match: '*', mode: 'mirror', selector: { $no: 1 } }] }),
  ).toThrow();
});

test('no password is shown, wherever it stands', () => {
  const [line = ''] = refusal({ upstream: { url: 'http://jan:sesame@example.org' } });
  expect(line).toContain('upstream.url');
  expect(line).not.toContain('sesame');
  const values: ConfigValues = {
    upstream: { url, username: 'jan', password: 'sesame' },
    databases: [{ match: '*', mode: 'proxy' }],
  };
  expect(showConfig(loadConfig({ values }).config)).not.toContain('sesame');
});
