// Loads documents as a replication does, two batches at a time: in a process of its own, so that who measures meanwhile
// is not held up. Arguments: URL of the database, Authorization, count, generation of the revisions.
import { createHash } from 'node:crypto';
import { Agent } from 'undici';

const [url, authorization, count, generation] = process.argv.slice(2);
const BATCH = 500;
const { origin, pathname } = new URL(url);
const agent = new Agent({ connections: 2, headersTimeout: 120_000 });

const hashOf = (n, at) => createHash('md5').update(`${n} ${at}`).digest('hex');

const documentOf = (n) => {
  const ids = Array.from({ length: Number(generation) }, (_, at) => hashOf(n, Number(generation) - at));
  const text = `${n} of ${count} `.repeat(40).slice(0, 430);
  return {
    _id: `doc-${String(n).padStart(7, '0')}`,
    _rev: `${generation}-${ids[0]}`,
    _revisions: { start: ids.length, ids },
    text,
  };
};

let next = 0;
async function send() {
  while (next < Number(count)) {
    const first = next;
    next += BATCH;
    const docs = Array.from({ length: Math.min(BATCH, Number(count) - first) }, (_, at) =>
      documentOf(first + at),
    );
    const { statusCode, body } = await agent.request({
      origin,
      path: `${pathname}/_bulk_docs`,
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify({ new_edits: false, docs }),
    });
    const answer = await body.text();
    if (statusCode !== 201 || answer.trim() !== '[]')
      throw new Error(`${statusCode} ${answer.slice(0, 200)}`);
  }
}

await Promise.all([send(), send()]);
await agent.close();
