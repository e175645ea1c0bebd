import { rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { folderOf } from '../../src/store/names.js';
import { temporaryFolder } from '../support/server.js';
import { Couch } from './support/couch.js';
import {
  type Acknowledged,
  type Call,
  type Needed,
  startTraced,
  syncsFor,
  violations,
  whyNoStrace,
} from './support/strace.js';

const obstacle = await whyNoStrace();
if (obstacle !== undefined) process.stderr.write(`durability is not proven here: ${obstacle}\n`);
const isHere = obstacle === undefined || process.env.CI === 'true';

const AT_ONCE = 50;

let folder: string;

beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Every kind of write, each with what the disk has to hold before it is answered. */
class Writes {
  readonly acknowledged: Acknowledged[] = [];

  constructor(
    private readonly couch: Couch,
    private readonly data: string,
  ) {}

  /** Asks, and notes what is needed once the answer is there. */
  async ask(
    [method, url, body]: readonly [string, string, unknown?],
    needs: (answer: { rev: string; id: string }) => readonly Needed[],
  ): Promise<{ rev: string; id: string }> {
    const answer = await this.couch.request(method, url, { body });
    expect([method, url, answer.status]).toEqual([method, url, expect.toBeOneOf([200, 201])]);
    const requestId = String(answer.headers['x-couch-request-id']);
    expect(requestId.length).toBeGreaterThan(5);
    const reply = answer.body as { rev: string; id: string };
    this.acknowledged.push({ what: `${method} ${url}`, requestId, needs: needs(reply) });
    return reply;
  }

  async all(): Promise<void> {
    for (const name of ['durable', 'durable/slash'])
      await this.ask(['PUT', `/${encodeURIComponent(name)}`], () => [{ made: this.#folder(name) }]);
    for (let round = 0; round < 4; round += 1) await this.#documents(`r${String(round)}`);
    await this.ask(['PUT', '/durable/_security', { members: { names: ['only-in-security'] } }], () => [
      { inLog: 'only-in-security' },
    ]);
    await this.ask(['PUT', '/durable/_revs_limit', 987_654], () => [{ inLog: '987654' }]);
    const { instance_start_time: start } = (await this.couch.get('/durable')) as {
      instance_start_time: string;
    };
    this.acknowledged.push({ ...this.#first(), needs: [{ inLog: start }] });
    const file = path.join(this.data, 'runtime.json');
    await this.ask(['PUT', '/_node/_local/_config/own/key', 'only-in-config'], () => [
      { inFile: 'only-in-config', file },
    ]);
    await this.ask(['DELETE', '/durable%2Fslash'], () => [{ renamed: this.#folder('durable/slash') }]);
  }

  #first(): Acknowledged {
    const [first] = this.acknowledged;
    if (!first) throw new Error('nothing was written');
    return first;
  }

  #folder(name: string): string {
    return path.join(this.data, 'databases', folderOf(name));
  }

  async #documents(round: string): Promise<void> {
    const mark = (kind: string): string => `${kind}-${round}-mark`;
    const put = await this.ask(['PUT', `/durable/${mark('put')}`, { a: 1 }], () => [{ inLog: mark('put') }]);
    const revOf = ({ rev }: { rev: string }): Needed[] => [{ inLog: rev.slice(rev.indexOf('-') + 1) }];
    await this.ask(['PUT', `/durable/${mark('put')}?rev=${put.rev}`, { a: 2 }], revOf);
    await this.ask(['POST', '/durable', { _id: mark('post') }], () => [{ inLog: mark('post') }]);
    await this.ask(['POST', '/durable', { a: 'unnamed' }], ({ id }) => [{ inLog: id }]);
    const doomed = await this.ask(['PUT', `/durable/${mark('doomed')}`, {}], () => [
      { inLog: mark('doomed') },
    ]);
    await this.ask(['DELETE', `/durable/${mark('doomed')}?rev=${doomed.rev}`], revOf);
    const ids = [mark('bulk-a'), mark('bulk-b')];
    await this.ask(['POST', '/durable/_bulk_docs', { docs: ids.map((_id) => ({ _id })) }], () =>
      ids.map((inLog) => ({ inLog })),
    );
    const replicated = {
      _id: mark('replicated'),
      _rev: `1-${Buffer.from(round).toString('hex').padEnd(32, 'e')}`,
    };
    await this.ask(['POST', '/durable/_bulk_docs', { docs: [replicated], new_edits: false }], () => [
      { inLog: replicated._id },
    ]);
    await this.ask(['PUT', `/durable/_local/${mark('local')}`, { a: 1 }], () => [{ inLog: mark('local') }]);
    await this.ask(['DELETE', `/durable/_local/${mark('local')}`], () => [
      { inLog: mark('local'), last: true },
    ]);
    await this.ask(['PUT', `/durable/${mark('attached')}/file`, { of: 'bytes' }], () => [
      { inLog: mark('attached') },
    ]);
    const purged = await this.ask(['PUT', `/durable/${mark('purged')}`, {}], () => [
      { inLog: mark('purged') },
    ]);
    await this.ask(['POST', '/durable/_purge', { [mark('purged')]: [purged.rev] }], () => [
      { inLog: mark('purged'), last: true },
    ]);
    await this.ask(['PUT', `/durable/_design/${mark('design')}`, { language: 'javascript' }], () => [
      { inLog: mark('design') },
    ]);
  }

  /** Single documents from many clients at once; returns their ids. */
  async crowd(): Promise<string[]> {
    const ids = Array.from({ length: AT_ONCE }, (_, n) => `crowd-${String(n)}-mark`);
    await Promise.all(
      ids.map((id) => this.ask(['PUT', `/durable/${id}`, { crowd: true }], () => [{ inLog: id }])),
    );
    return ids;
  }
}

interface Run {
  readonly calls: readonly Call[];
  readonly acknowledged: readonly Acknowledged[];
  readonly crowd: readonly string[];
}

async function run(name: string, args: readonly string[], env: Record<string, string> = {}): Promise<Run> {
  const data = path.join(folder, name);
  const gateway = await startTraced(['--data', data, ...args], path.join(folder, `${name}.trace`), {
    CAUSEWAY_ADMINS: 'admin:secret',
    ...env,
  });
  const authorization = `Basic ${Buffer.from('admin:secret').toString('base64')}`;
  const couch = new Couch(gateway.url, authorization);
  const writes = new Writes(couch, data);
  const crowd = await writes
    .all()
    .then(() => writes.crowd())
    .catch(async (error: unknown) => {
      await gateway.stop();
      throw error;
    })
    .finally(() => couch.close());
  return { calls: await gateway.stop(), acknowledged: writes.acknowledged, crowd };
}

describe.runIf(isHere)('I1: an answer leaves after the sync of what it acknowledges', () => {
  it('holds for every kind of write, and many at once share syncs', async () => {
    if (obstacle !== undefined) throw new Error(obstacle);
    const { calls, acknowledged, crowd } = await run('on', []);
    expect(violations(calls, acknowledged)).toEqual([]);
    expect(acknowledged.length).toBeGreaterThan(AT_ONCE + 40);
    const syncs = syncsFor(calls, crowd);
    expect(syncs).toBeGreaterThan(0);
    expect(syncs).toBeLessThan(AT_ONCE / 2);
  });

  it('is seen to fail when nothing is synced', async () => {
    if (obstacle !== undefined) throw new Error(obstacle);
    const { calls, acknowledged } = await run('off', [], { CAUSEWAY_STORE_SYNC: 'false' });
    // What stands in a log; a new database is opened with a sync of its own.
    const needs = acknowledged.filter(({ what }) => what !== 'PUT /durable').flatMap((write) => write.needs);
    const inLogs = needs.filter((needed) => 'inLog' in needed);
    expect(inLogs.length).toBeGreaterThan(AT_ONCE + 40);
    const found = violations(calls, acknowledged);
    expect(found.filter((text) => text.includes('before a sync of 0'))).toHaveLength(inLogs.length);
  });
});
