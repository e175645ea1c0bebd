import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { type Program, startProcess } from '../../support/server.js';
import { Follower } from '../support/follower.js';
import { Pulse } from '../support/pulse.js';
import { Restartable } from '../support/restartable.js';
import { until } from '../support/wait.js';
import type { SoakContext } from './context.js';

const COUNT = 1_000_000;
/** So many are written again, so that a compaction has something to drop. */
const AGAIN = 300_000;
/** Milliseconds for which no live feed may stand still. */
const LONGEST = 200;

const LOADER = fileURLToPath(new URL('../support/load-child.mjs', import.meta.url));

/** What is seen of a database of which something is written every few milliseconds. */
interface Steady {
  readonly couch: Restartable['couch'];
  readonly database: string;
  readonly feed: Follower;
}

/** One million documents are loaded, some written again, and all compacted: live feeds go on meanwhile. */
export async function gaps(context: SoakContext): Promise<boolean> {
  await context.needDisk(3e9);
  const gateway = await Restartable.start();
  const { couch } = gateway;
  try {
    const [loaded, other] = await Promise.all(
      ['loaded', 'other'].map(async (database): Promise<Steady> => {
        await couch.put(`/${database}`);
        return { couch, database, feed: await Follower.open(couch, database, /^steady-/) };
      }),
    );
    assert(loaded !== undefined && other !== undefined);
    const seen: Figures[] = [];
    for (const [at, count] of [COUNT, AGAIN].entries()) {
      const figures = await meanwhile([loaded, other], () => load(gateway, count, at + 1));
      await context.record({ what: `load, generation ${String(at + 1)}`, documents: count, ...figures });
      seen.push(figures);
    }
    const figures = await meanwhile([loaded, other], async () => {
      await couch.post('/loaded/_compact', {});
      const isOver = async (): Promise<boolean> =>
        !((await couch.get('/loaded')) as { compact_running: boolean }).compact_running;
      await until('the compaction is over', isOver, { ceiling: 300_000, step: 200 });
    });
    await context.record({ what: 'compaction', ...figures });
    // Last, so that all figures are there.
    for (const one of [...seen, figures]) judge(one);
    return true;
  } finally {
    await gateway.remove();
  }
}

interface Figures {
  readonly seconds: number;
  /** By database: the longest answer to a write, and the longest time from it to its row, and between two rows. */
  readonly feeds: Readonly<Record<string, { answer: number; rowAfterAnswer: number; betweenRows: number }>>;
}

/** Runs `work`, and sees how the feeds get on meanwhile. */
async function meanwhile(all: readonly Steady[], work: () => Promise<void>): Promise<Figures> {
  const begun = performance.now();
  const late = new Map(all.map(({ database }) => [database, 0]));
  const pulses = all.map(({ couch, database, feed }) => {
    feed.takeLongest();
    return new Pulse(async () => {
      const id = `steady-${String(performance.now())}`;
      await couch.put(`/${database}/${id}`, {});
      const answered = performance.now();
      const came = await until(`the row of ${id}`, () => feed.cameAt(id), { step: 1 });
      late.set(database, Math.max(late.get(database) ?? 0, came - answered));
    });
  });
  await work();
  const feeds: Record<string, { answer: number; rowAfterAnswer: number; betweenRows: number }> = {};
  for (const [at, { database, feed }] of all.entries()) {
    feeds[database] = {
      answer: (await pulses[at]?.stop())?.longest ?? 0,
      rowAfterAnswer: Math.round(late.get(database) ?? 0),
      betweenRows: feed.takeLongest(),
    };
  }
  return { seconds: Math.round((performance.now() - begun) / 1000), feeds };
}

async function load(gateway: Restartable, count: number, generation: number): Promise<void> {
  const url = `${gateway.url}/loaded`;
  const args = [LOADER, url, gateway.authorization, String(count), String(generation)];
  const loader: Program = startProcess(process.execPath, args);
  assert.equal(await loader.ended, 0, loader.stderr);
}

function judge({ feeds }: Figures): void {
  for (const [database, { rowAfterAnswer, betweenRows }] of Object.entries(feeds)) {
    assert(rowAfterAnswer < LONGEST, `a row of ${database} comes ${String(rowAfterAnswer)} ms late`);
    assert(betweenRows < LONGEST, `the feed of ${database} stands still for ${String(betweenRows)} ms`);
  }
}
