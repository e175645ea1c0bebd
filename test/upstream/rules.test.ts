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

test('a mode that is none yet is refused, also where it would be the default', () => {
  const every = { match: '*', mode: 'proxy' };
  expect(refusal({ upstream: { url }, databases: [every] })).toEqual([]);
  expect(refusal({ databases: [{ match: '*', mode: 'local' }] })).toEqual([]);
  const lines = [
    { upstream: { url }, databases: [{ match: '*', mode: 'mirror' }] },
    { upstream: { url } },
    { upstream: { url }, databases: [{ match: 'a*', mode: 'proxy' }] },
    { databases: [every] },
    { upstream: { url }, databases: [{ match: '_users', mode: 'proxy' }, every] },
    { upstream: { url, maxConnections: 100, maxFeeds: 100 }, databases: [every] },
  ].map(refusal);
  expect(lines.map(([line, ...more]) => [/configuration: (\S+) is/.exec(line ?? '')?.[1], more])).toEqual([
    ['databases.0.mode', []],
    ['databases', []],
    ['databases', []],
    ['databases', []],
    ['databases.0.match', []],
    ['upstream.maxFeeds', []],
  ]);
  expect(lines[0]?.[0]).toContain('"mirror"');
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
