import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import type { Couch } from '../support/couch.js';
import { INSPECTABLE, Inspector } from '../support/inspector.js';
import { loopDelay, watchLoop } from '../support/loop-delay.js';
import { anonymousMemory } from '../support/proc.js';
import { Pulse } from '../support/pulse.js';
import { Restartable } from '../support/restartable.js';
import type { SoakContext } from './context.js';

/** What functions do that mean no good, each in a database of its own. */
const BODIES: Readonly<Record<string, string>> = {
  loop: 'for (;;);',
  catching: 'for (;;) { try { for (;;); } catch (e) {} finally { for (;;); } }',
  expression: 'return /^(a+)+$/.test(new Array(40).join("a") + "!")',
  join: 'return new Array(4e8).join("")',
  memory: 'var a = []; for (;;) a.push(new Array(1000).fill(1))',
  text: 'var s = "x"; for (;;) s += s',
  recursion: 'function f() { try { return f() } catch (e) { return f() } } return f()',
  log: 'for (;;) log(new Array(1000).join("x"))',
};

const CALM_MS = 10_000;
const ROUGH_MS = 60_000;
/** How many clients ask for each of them, again and again. */
const CLIENTS = 2;
/** Documents of the database that nobody means harm. */
const COUNT = 200;
const MOST_DELAY_MS = 20;

const GOOD = {
  validate_doc_update: 'function (doc) { if (typeof doc.n !== "number") throw {forbidden: "n is missing"} }',
  filters: { even: 'function (doc, req) { return doc.n % 2 === Number(req.query.rest) }' },
};

/** Functions without an end in many databases, while another is read, written with validation, and filtered. */
export async function functions(context: SoakContext): Promise<boolean> {
  const server = await Restartable.start({ env: { ...INSPECTABLE, CAUSEWAY_FUNCTIONS_TIMEOUT: '2000' } });
  const inspector = await Inspector.of(server.program);
  try {
    await prepare(server.couch);
    const idle = await anonymousMemory(server.pid);
    const calm = await measure(server, inspector, CALM_MS, []);
    const rough = await measure(server, inspector, ROUGH_MS, Object.keys(BODIES));
    const megabytes = Math.round(((await anonymousMemory(server.pid)) - idle) / 1e6);
    await context.record({ calm, rough, megabytes });
    assert(rough.delayP99 <= MOST_DELAY_MS, `the event loop was ${String(rough.delayP99)} ms late (p99)`);
  } finally {
    inspector.close();
    await server.remove();
  }
  return true;
}

async function prepare(couch: Couch): Promise<void> {
  for (const [name, body] of Object.entries(BODIES)) {
    await couch.put(`/bad-${name}`);
    await couch.put(`/bad-${name}/_design/d`, { shows: { s: `function (doc, req) { ${body} }` } });
  }
  await couch.put('/good');
  await couch.put('/good/_design/d', GOOD);
  const docs = Array.from({ length: COUNT }, (_, n) => ({ _id: `doc-${String(n)}`, n }));
  await couch.request('POST', '/good/_bulk_docs', { body: { docs } });
}

async function measure(
  { couch }: Restartable,
  inspector: Inspector,
  milliseconds: number,
  bad: readonly string[],
) {
  await watchLoop(inspector);
  let isOver = false;
  let refused = 0;
  const runaways = bad.flatMap((name) =>
    Array.from({ length: CLIENTS }, async () => {
      while (!isOver) {
        const { status } = await couch.request('GET', `/bad-${name}/_design/d/_show/s`);
        assert.equal(status, 500, name);
        refused += 1;
      }
    }),
  );
  const pulses = {
    reads: new Pulse((n) => read(couch, n)),
    writes: new Pulse((n) => write(couch, n)),
    filters: new Pulse((n) => filter(couch, n)),
  };
  await pause(milliseconds);
  const reads = await pulses.reads.stop();
  const writes = await pulses.writes.stop();
  const filters = await pulses.filters.stop();
  const { p99: delayP99, max: delayMax } = await loopDelay(inspector);
  isOver = true;
  await Promise.all(runaways);
  return { delayP99, delayMax, refused, reads, writes, filters };
}

async function read(couch: Couch, n: number): Promise<void> {
  const { status, body } = await couch.request('GET', `/good/doc-${String(n % COUNT)}`);
  assert.equal(status, 200);
  assert.equal((body as { n: unknown }).n, n % COUNT);
}

async function write(couch: Couch, n: number): Promise<void> {
  const isGood = n % 3 > 0;
  const { status } = await couch.request('POST', '/good', { body: isGood ? { n } : { text: 'x' } });
  assert.equal(status, isGood ? 201 : 403);
}

async function filter(couch: Couch, n: number): Promise<void> {
  const rest = n % 2;
  const ids = Array.from({ length: 100 }, (_, at) => `doc-${String(at)}`);
  const { status, body } = await couch.request(
    'GET',
    `/good/_changes?filter=d/even&rest=${String(rest)}&limit=50`,
  );
  assert.equal(status, 200);
  const found = (body as { results: { id: string }[] }).results.map(({ id }) => id);
  assert.deepEqual(found, ids.filter((_, at) => at % 2 === rest).slice(0, found.length));
  assert.equal(found.length, 50);
}
