import { CouchError } from '../../errors.js';
import { ElementStream } from '../../json/elements.js';
import { quote } from '../../json/quote.js';
import { JsonError } from '../../json/reader.js';
import { members } from '../../json/text.js';
import { type Fetched, type MissingRevisions, PeerUnreachable } from '../peer.js';
import { attachmentsIn, revisionText } from '../revision-text.js';
import { brief, bytes, type HttpClient } from './client.js';

/** How many brackets are around `{"ok":…}` in an answer. */
const ROW_LEVEL = 4;

const PATH = '_bulk_get?revs=true&latest=true&attachments=false';

/**
 * Reads revisions by `_bulk_get`; those of which nothing was said come last, as `apart`. What the server has not got is
 * `missing`, of which nobody knows yet whether it is gone.
 */
export async function* bulkGet(
  client: HttpClient,
  wanted: readonly MissingRevisions[],
  signal: AbortSignal,
): AsyncGenerator<readonly Fetched[]> {
  const unanswered = new Unanswered(wanted);
  const { body } = await client.send({ method: 'POST', path: PATH, body: bodyOf(wanted), signal });
  const stream = new ElementStream(ROW_LEVEL);
  try {
    for await (const chunk of bytes(body)) {
      const rows = stream.take(chunk).map(readRow);
      for (const row of rows) unanswered.note(row);
      if (rows.length > 0) yield rows;
    }
    stream.end();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof JsonError || error instanceof SyntaxError)
      throw new PeerUnreachable('the answer of _bulk_get is not what it should be', { cause: error });
    throw error;
  }
  yield unanswered.list();
}

function bodyOf(wanted: readonly MissingRevisions[]): string {
  let docs = '';
  for (const { id, missing } of wanted) {
    const head = `{"id":${quote(id)},"rev":`;
    for (const rev of missing) docs += `${docs === '' ? '' : ','}${head}${quote(rev)}}`;
  }
  return `{"docs":[${docs}]}`;
}

function readRow(text: string): Fetched {
  if (text.startsWith('{"ok":{')) return readDocument(text.slice(6, -1));
  const row = members(text);
  const ok = row?.get('ok');
  if (ok !== undefined) return readDocument(ok);
  const error: unknown = JSON.parse(row?.get('error') ?? 'null');
  if (typeof error !== 'object' || error === null) throw new JsonError('no row of _bulk_get');
  const { id, rev, error: kind, reason } = error as Record<string, unknown>;
  if (typeof id !== 'string' || typeof rev !== 'string') throw new JsonError('an error without a revision');
  if (kind === 'not_found') return { kind: 'missing', id, rev };
  return { kind: 'failed', id, rev, error: new CouchError(500, brief(asText(kind)), brief(asText(reason))) };
}

const asText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value ?? ''));

function readDocument(text: string): Fetched {
  const document = revisionText(text);
  if (attachmentsIn(text) === undefined) return { kind: 'document', document };
  return { kind: 'apart', id: document.id, rev: document.rev };
}

/** What was asked for and not answered: a server that forgets a revision must not make it vanish. */
class Unanswered {
  readonly #revs = new Map<string, Set<string>>();
  /** Documents with answers that nobody asked for: descendants of what was. */
  readonly #descended = new Map<string, number>();

  constructor(wanted: readonly MissingRevisions[]) {
    for (const { id, missing } of wanted) this.#revs.set(id, new Set(missing));
  }

  note(row: Fetched): void {
    const { id, rev } = row.kind === 'document' ? row.document : row;
    if (this.#revs.get(id)?.delete(rev) !== true) this.#descended.set(id, (this.#descended.get(id) ?? 0) + 1);
  }

  list(): readonly Fetched[] {
    return [...this.#revs].flatMap(([id, revs]) =>
      revs.size <= (this.#descended.get(id) ?? 0)
        ? []
        : Array.from(revs, (rev): Fetched => ({ kind: 'apart', id, rev })),
    );
  }
}
