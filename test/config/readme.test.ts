import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type CouchKey, couchKeys } from '../../src/config/couchdb.js';
import { exitCodes } from '../../src/config/exit.js';
import { keyReference } from '../../src/config/keys.js';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/** The cells of all rows of the README's tables, without their padding and code marks. */
const rows = readme
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replace(/^`(.*)`$/, '$1')),
  );

const placeOf = ({ section, name }: CouchKey): string => `${section}/${name}`;

describe('the README', () => {
  it.each(keyReference())('has the row of $key', ({ key, env, flag, default: value, doc }) => {
    expect(rows).toContainEqual([key, env, flag, value, doc]);
  });

  it('has no row of a key that is not there', () => {
    const names = rows.filter((cells) => cells[1]?.startsWith('CAUSEWAY_')).map(([key]) => key);
    expect(names).toEqual(keyReference().map(({ key }) => key));
  });

  it('has the keys of CouchDB that take effect', () => {
    const named = rows.filter(([first]) => couchKeys.some((one) => placeOf(one) === first));
    expect(named).toEqual(couchKeys.map((one) => [placeOf(one), one.key.name]));
  });

  it('has every exit code', () => {
    for (const code of Object.values(exitCodes)) expect(rows.map(([first]) => first)).toContain(String(code));
  });
});
