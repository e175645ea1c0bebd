import type { BodySource, BodyThere, ThereAttachment } from '../../conflicts/loaded.js';
import { CouchError } from '../../errors.js';
import { ElementStream } from '../../json/elements.js';
import { quote } from '../../json/quote.js';
import { JsonError } from '../../json/reader.js';
import { members, membersInTurns } from '../../json/text.js';
import { bytes } from '../../replication/http/client.js';
import { revisionText } from '../../replication/revision-text.js';
import { parseDocument } from '../../store/document.js';
import type { MirrorServices } from './context.js';

/** Revisions of one document that are asked for; of others nothing is known. */
const MOST = 100;
/** Documents in one request. */
const TOGETHER = 100;
/** Bytes of an answer that are read. */
const LONGEST = 16 << 20;
/** Milliseconds that an answer may take. */
const PATIENCE = 15_000;
/** How many brackets are around `{"ok":…}` in an answer. */
const ROW_LEVEL = 4;

const PATH = '_bulk_get?attachments=false&att_encoding_info=true';

type Bodies = ReadonlyMap<string, BodyThere>;
const NOTHING: Bodies = new Map();

/** What somebody wants to know of one document. */
interface Question {
  readonly id: string;
  readonly revs: readonly string[];
  /** Ends the request that it goes with. */
  readonly signal: AbortSignal;
  readonly answer: (bodies: Bodies | undefined) => void;
}

export interface BodiesOptions extends Pick<MirrorServices, 'upstream' | 'log'> {
  /** Whether a database has one of its name upstream. */
  isMirrored(name: string): boolean;
  /** Fires when the server stops. */
  readonly closing: AbortSignal;
}

/**
 * Bodies of revisions that the upstream may have kept: replication brings those of leaves alone. What one database is asked
 * about meanwhile goes together in its next request.
 */
export class UpstreamBodies implements BodySource {
  /** By databases: what waits while a request is under way. */
  readonly #waiting = new Map<string, Question[]>();

  constructor(private readonly options: BodiesOptions) {}

  read(
    database: string,
    id: string,
    revs: readonly string[],
    signal: AbortSignal,
  ): Promise<Bodies | undefined> {
    if (!this.options.isMirrored(database)) return Promise.resolve(NOTHING);
    return new Promise((answer) => {
      const question = { id, revs: revs.slice(0, MOST), signal, answer };
      const waiting = this.#waiting.get(database);
      if (waiting !== undefined) waiting.push(question);
      else void this.#askAll(database, [question]);
    });
  }

  /** Never fails. */
  async #askAll(database: string, waiting: Question[]): Promise<void> {
    this.#waiting.set(database, waiting);
    while (waiting.length > 0) {
      const questions = waiting.splice(0, TOGETHER);
      try {
        await this.#ask(database, questions);
      } catch (error) {
        const { log, closing } = this.options;
        const reason = (error as Error).message;
        if (!closing.aborted)
          log.info({ database, reason }, 'older revisions cannot be asked for upstream now');
        for (const { answer } of questions) answer(undefined);
      }
    }
    this.#waiting.delete(database);
  }

  /** Too many to be answered at once are asked in two halves; of one alone that is too long nothing is known. */
  async #ask(database: string, questions: readonly Question[]): Promise<void> {
    const rows = await this.#rows(database, questions);
    if (rows !== undefined) {
      const found = await bodiesIn(rows);
      const unread = new Set(rows.flatMap(failedIn));
      // That one could not be read now says nothing of whether it is there.
      for (const { id, revs, answer } of questions)
        answer(unread.has(id) ? undefined : ofRevs(found.get(id) ?? NOTHING, revs));
    } else if (questions.length === 1) {
      for (const { answer } of questions) answer(NOTHING);
    } else {
      const middle = questions.length >> 1;
      await this.#ask(database, questions.slice(0, middle));
      await this.#ask(database, questions.slice(middle));
    }
  }

  /** @returns undefined where the answer is too long. @throws CouchError, PeerUnreachable, JsonError, the timeout */
  async #rows(database: string, questions: readonly Question[]): Promise<readonly string[] | undefined> {
    const { upstream, closing } = this.options;
    const asking = new Set(questions.map((one) => one.signal));
    const signal = AbortSignal.any([closing, AbortSignal.timeout(PATIENCE), ...asking]);
    const { client } = upstream.peerOf(database);
    const { body } = await client.send({ method: 'POST', path: PATH, body: bodyOf(questions), signal });
    const stream = new ElementStream(ROW_LEVEL);
    const rows: string[] = [];
    let length = 0;
    for await (const chunk of bytes(body)) {
      length += chunk.length;
      if (length > LONGEST) return undefined;
      rows.push(...stream.take(chunk));
    }
    stream.end();
    return rows;
  }
}

function bodyOf(questions: readonly Question[]): string {
  const docs = questions.flatMap(({ id, revs }) =>
    revs.map((rev) => `{"id":${quote(id)},"rev":${quote(rev)}}`),
  );
  return `{"docs":[${docs.join(',')}]}`;
}

/** The id of the document that a row says could not be read; none where it says anything else. */
function failedIn(row: string): readonly string[] {
  const failure = members(row)?.get('error');
  if (failure === undefined) return [];
  const { id, error } = Object(JSON.parse(failure)) as { readonly id?: unknown; readonly error?: unknown };
  return typeof id === 'string' && typeof error === 'string' && error !== 'not_found' ? [id] : [];
}

/** By ids of documents, and then by revisions. What cannot be read is not known. */
async function bodiesIn(rows: readonly string[]): Promise<ReadonlyMap<string, Bodies>> {
  const found = new Map<string, Map<string, BodyThere>>();
  for (const row of rows) {
    const text = (await membersInTurns(row))?.get('ok');
    if (text === undefined) continue;
    try {
      const { id, rev } = revisionText(text);
      const bodies = found.get(id) ?? new Map<string, BodyThere>();
      found.set(id, bodies.set(rev, await bodyIn(text)));
    } catch (error) {
      if (!(error instanceof CouchError || error instanceof JsonError || error instanceof SyntaxError))
        throw error;
    }
  }
  return found;
}

/** Whatever else is answered: leaves are what they are here. */
const ofRevs = (bodies: Bodies, revs: readonly string[]): Bodies =>
  new Map([...bodies].filter(([rev]) => revs.includes(rev)));

async function bodyIn(text: string): Promise<BodyThere> {
  const { body, attachments } = await parseDocument(text, { newEdits: false, maxSize: Infinity });
  if (attachments === undefined) return { body, attachments: new Map() };
  const stubs =
    members((await membersInTurns(text))?.get('_attachments') ?? '{}') ?? new Map<string, string>();
  return { body, attachments: new Map(Array.from(stubs, ([name, stub]) => [name, attachmentIn(stub)])) };
}

/** @throws SyntaxError */
function attachmentIn(stub: string): ThereAttachment {
  const { content_type: contentType, digest, length, encoding } = JSON.parse(stub) as Record<string, unknown>;
  if (typeof contentType !== 'string' || typeof digest !== 'string' || typeof length !== 'number')
    throw new SyntaxError('no attachment');
  return { contentType, digest, length, isEncoded: encoding !== undefined };
}
