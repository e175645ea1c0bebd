import { ElementStream } from '../../json/elements.js';
import { JsonError } from '../../json/reader.js';
import {
  type ChangedDocument,
  type ChangesPage,
  type ChangesRequest,
  PeerUnreachable,
  type Sequence,
} from '../peer.js';
import { bytes, type HttpClient } from './client.js';
import { queryString } from './paths.js';

/** Characters of rows that are enough for a page: documents may have any number of leaves. */
const PAGE_LENGTH = 4 << 20;
/** How many brackets are around a row. */
const ROW_LEVEL = 2;

/** Milliseconds that a sign of life may come late. */
const LATENESS = 5_000;

/** How often the source has to show life. A thousand replications at rest take little else than these signs. */
const heartbeatWithin = (timeout: number): number => Math.ceil(Math.max(timeout / 2, timeout - LATENESS));

/** Reads one page of the feed; where it has to wait, the source gives signs of life. */
export async function readChanges(
  client: HttpClient,
  request: ChangesRequest,
  signal: AbortSignal,
): Promise<ChangesPage> {
  const { docIds, selector, filter, queryParams, since, limit, seqInterval, style, wait } = request;
  const query = queryString({
    ...(filter !== undefined && asText(queryParams ?? {})),
    feed: wait ? 'longpoll' : 'normal',
    style,
    since: typeof since === 'string' ? since : JSON.stringify(since),
    limit,
    seq_interval: seqInterval,
    heartbeat: heartbeatWithin(client.timeout),
    filter: docIds !== undefined ? '_doc_ids' : selector !== undefined ? '_selector' : filter,
  });
  const body =
    docIds !== undefined
      ? JSON.stringify({ doc_ids: docIds })
      : selector !== undefined
        ? `{"selector":${selector}}`
        : undefined;
  const answer = await client.send({
    method: body === undefined ? 'GET' : 'POST',
    path: `_changes${query}`,
    ...(body !== undefined && { body }),
    signal,
  });
  try {
    return await readPage(bytes(answer.body));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof JsonError || error instanceof SyntaxError)
      throw new PeerUnreachable('the feed is not what it should be', { cause: error });
    throw error;
  }
}

/** Values that are no text go as JSON, as CouchDB's replicator sends them. */
function asText(parameters: Readonly<Record<string, unknown>>): Record<string, string> {
  const entries = Object.entries(parameters);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
  );
}

async function readPage(chunks: AsyncIterable<Buffer>): Promise<ChangesPage> {
  const stream = new ElementStream(ROW_LEVEL);
  const rows: ChangedDocument[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    for (const text of stream.take(chunk)) {
      rows.push(rowOf(text));
      length += text.length;
    }
    const lastSeq = rows.at(-1)?.seq;
    if (length > PAGE_LENGTH && lastSeq !== undefined) return { rows, lastSeq, pending: undefined };
  }
  const { last_seq: lastSeq, pending } = stream.end();
  return { rows, lastSeq: asSequence(lastSeq), pending: typeof pending === 'number' ? pending : undefined };
}

function rowOf(text: string): ChangedDocument {
  const { id, seq, changes, deleted } = JSON.parse(text) as Record<string, unknown>;
  if (typeof id !== 'string' || !Array.isArray(changes)) throw new JsonError('no row of a feed');
  const revs = changes.map((change: unknown) => {
    const { rev } = change as Record<string, unknown>;
    if (typeof rev !== 'string') throw new JsonError('no revision');
    return rev;
  });
  const given = seq === null || seq === undefined ? undefined : asSequence(seq);
  return { id, revs, seq: given, ...(deleted === true && { deleted }) };
}

/** Some servers have arrays for sequences: they go as JSON text. */
function asSequence(value: unknown): Sequence {
  if (typeof value === 'string' || typeof value === 'number') return value;
  if (Array.isArray(value)) return JSON.stringify(value);
  throw new JsonError('no sequence');
}
