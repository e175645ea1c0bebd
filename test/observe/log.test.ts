import { describe, expect, it } from 'vitest';
import { connectionsWithin, databasesWithin, handleWarning } from '../../src/observe/handles.js';
import { createLogger, type Logger } from '../../src/observe/log.js';

/** A logger and the lines that it has written, parsed. */
function recorder(level = 'info'): { log: Logger; lines: string[]; last: () => unknown } {
  const lines: string[] = [];
  const log = createLogger({ level }, { write: (line: string) => void lines.push(line) });
  return { log, lines, last: () => JSON.parse(lines.at(-1) ?? '') as unknown };
}

describe('a log line', () => {
  it('is one JSON object with the time, the level and the message', () => {
    const { log, lines, last } = recorder();
    log.info({ database: 'a' }, 'opened\nhere');
    expect(lines).toEqual([expect.stringMatching(/^[^\n]*\n$/)]);
    expect(last()).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
      database: 'a',
      msg: 'opened\nhere',
    });
  });

  it('is left out below the level', () => {
    const { log, lines } = recorder('warn');
    log.info('no');
    log.warn('yes');
    expect(lines).toHaveLength(1);
  });

  it('shows no secrets, however deep', () => {
    const { log, lines } = recorder();
    const secrets = { authorization: 'sesame', 'Set-Cookie': ['AuthSession=sesame'], password: 'sesame' };
    log.info({ req: { headers: secrets, method: 'GET' }, list: [{ Cookie: 'sesame' }] });
    log.child({ secret: 'sesame' }).info({ a: { b: { c: { password_sha: 'sesame' } } } });
    log.info('from %s', 'https://jan:sesame@couch.example/db');
    log.info({ url: 'http://jan:ses@sesame@couch.example/' }, 'at http://sesame@couch.example/');
    log.error(new Error('cannot reach http://jan:sesame@couch.example/'), 'failed');
    log.error({ err: Object.assign(new Error('x'), { options: { password: 'sesame' } }) });
    log.info({ url: '/_session?name=jan&password=sesame&x=1' }, 'GET /db?TOKEN=sesame#x');
    expect(lines.join('')).not.toContain('sesame');
    expect(lines.join('')).toContain('https://***@couch.example/db');
    expect(lines.join('')).toContain('/_session?name=jan&password=***&x=1');
    expect(lines).toHaveLength(7);
  });

  it('keeps the message and the stack of an error', () => {
    const { log, last } = recorder();
    log.error({ err: new TypeError('odd') }, 'failed');
    expect(last()).toMatchObject({
      msg: 'failed',
      err: { type: 'TypeError', message: 'odd', stack: expect.stringContaining('log.test') as string },
    });
  });

  it('ends where an object refers to itself', () => {
    const { log, lines } = recorder();
    const loop: Record<string, unknown> = {};
    loop.self = loop;
    log.info({ loop });
    expect(lines).toHaveLength(1);
  });
});

describe('the number of files that may be open', () => {
  it('is warned of when it is too low for the open databases', () => {
    expect(handleWarning(500, 1024)).toMatch(/may open 1024 files; 5000 are advised/);
    expect(handleWarning(500, 5000)).toBeUndefined();
    expect(handleWarning(20, 1400)).toBeUndefined();
  });

  it('keeps fewer databases open where they would leave none for anything else', () => {
    expect(databasesWithin(500, 1_000_000)).toBe(500);
    expect(databasesWithin(500, 1024)).toBe(57);
    expect(databasesWithin(5, 1024)).toBe(5);
  });

  it('leaves room for the databases, whatever the limit of connections', () => {
    const limits = { maxConnections: 16_000, maxDbsOpen: 500 };
    expect(connectionsWithin(limits, 1_000_000)).toBe(16_000);
    expect(connectionsWithin(limits, 20_000)).toBe(12_900);
    expect(connectionsWithin(limits, 1024)).toBe(377);
    expect(connectionsWithin({ maxConnections: 5, maxDbsOpen: 500 }, 1024)).toBe(5);
  });
});
