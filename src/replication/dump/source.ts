import type { FileHandle } from 'node:fs/promises';
import { notFound } from '../../errors.js';
import { inTurns } from '../../json/turns.js';
import { compileSelector } from '../../selector/match.js';
import { type Predicate, settled } from '../../selector/verdict.js';
import type { FollowingAttachment } from '../../multipart/writer.js';
import type {
  ChangedDocument,
  ChangesPage,
  ChangesRequest,
  Fetched,
  LocalLog,
  MissingRevisions,
  OpenedRevision,
  PeerInfo,
  RevisionText,
  Sequence,
  Side,
  Source,
} from '../peer.js';
import { revisionText } from '../revision-text.js';
import { type Place, readEntries } from './entries.js';
import { damaged } from './errors.js';
import { type DumpFile, endsComplete } from './file.js';
import { type DumpedAttachment, followsOf, parseLine } from './format.js';
import { NEWLINE, readBytes, readLines } from './lines.js';
import { Places } from './places.js';

/** Characters of documents that are enough for a page. */
const PAGE_LENGTH = 4 << 20;

/**
 * Reads a dump. Its sequences are bytes: everything before one was read. As a dump only grows, what the target's
 * checkpoints say is all that has to be known of earlier runs: they count as the dump's own.
 */
export class DumpSource implements Source {
  readonly name: string;
  readonly #file: FileHandle;
  readonly #places: Places;

  /** @param target where the dump goes */
  constructor(
    private readonly dump: DumpFile,
    private readonly target: Side,
  ) {
    this.name = dump.path;
    this.#file = dump.file;
    this.#places = new Places(dump);
  }

  info(): Promise<PeerInfo> {
    return Promise.resolve({ updateSeq: this.dump.length, isEmpty: false, instanceStartTime: '0' });
  }

  getLocal(id: string, signal: AbortSignal): Promise<LocalLog | undefined> {
    return this.target.getLocal(id, signal);
  }

  putLocal(): Promise<string> {
    return Promise.resolve('0-1');
  }

  ensureFullCommit(): Promise<string> {
    return Promise.resolve('0');
  }

  /** Whether everything is in it that whoever wrote it was to write. */
  isComplete(): Promise<boolean> {
    return endsComplete(this.#file);
  }

  /** A row for each document, with those of its leaves that stand in this page. */
  async changes(request: ChangesRequest, signal: AbortSignal): Promise<ChangesPage> {
    const passes = filterOf(request);
    const from = await this.#placeOf(request.since);
    const rows = new Map<string, ChangedDocument & { readonly revs: string[] }>();
    let until = from;
    let length = 0;
    for await (const entries of readEntries(this.#file, from)) {
      signal.throwIfAborted();
      for (const entry of entries) {
        until = entry.end;
        if (entry.kind !== 'revision' || !(await inTurns(settled(passes(entry.document))))) continue;
        const { id, rev, text } = entry.document;
        this.#places.note(id, rev, entry.place);
        const row = rows.get(id);
        if (row === undefined) rows.set(id, { id, revs: [rev], seq: until });
        // It is dealt with earlier than the sequence says.
        else row.revs.push(rev);
        length += text.length;
        if (rows.size < request.limit && length < PAGE_LENGTH) continue;
        return { rows: [...rows.values()], lastSeq: until, pending: this.#pending(from, until, rows.size) };
      }
    }
    return { rows: [...rows.values()], lastSeq: until, pending: 0 };
  }

  async *fetch(wanted: readonly MissingRevisions[], signal: AbortSignal): AsyncGenerator<readonly Fetched[]> {
    const { found, missing } = await this.#places.find(wanted);
    yield missing.map(({ id, rev }): Fetched => ({ kind: 'missing', id, rev }));
    for await (const texts of readTexts(this.#file, found)) {
      signal.throwIfAborted();
      yield texts.map((document): Fetched => {
        const { id, rev, text } = document;
        return followsOf(text).length > 0 ? { kind: 'apart', id, rev } : { kind: 'document', document };
      });
    }
  }

  async *open(wanted: MissingRevisions, signal: AbortSignal): AsyncGenerator<OpenedRevision> {
    const { found, missing } = await this.#places.find([wanted]);
    for (const one of missing) yield { kind: 'missing', ...one };
    for (const place of found) {
      signal.throwIfAborted();
      const document = textOf(await readBytes(this.#file, place.start, place.bodies - place.start));
      const attachments = this.#attachments(followsOf(document.text), place);
      yield { kind: 'document', document: { ...document, attachments } };
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Their bodies are read one behind the other. */
  #attachments(follows: readonly DumpedAttachment[], { bodies }: Place): readonly FollowingAttachment[] {
    const cursor = { at: bodies };
    return follows.map((one) => ({ ...one, body: () => readBody(this.#file, one, cursor) }));
  }

  /** A sequence that is none of this dump counts for nothing, as a sequence of another database does. */
  async #placeOf(since: Sequence): Promise<number> {
    const { start } = this.dump;
    const at = Number(since);
    if (!Number.isSafeInteger(at) || at <= start) return start;
    const before = await readBytes(this.#file, at - 1, 1);
    return before[0] === NEWLINE ? at : start;
  }

  /** About how many documents follow, if they are as long as those that were read. */
  #pending(from: number, until: number, rows: number): number {
    return Math.max(1, Math.round(((this.dump.length - until) * rows) / (until - from)));
  }
}

/** Each revision is judged by itself: which of them wins is known only where all are. */
function filterOf({ docIds, selector, filter }: ChangesRequest): Predicate<RevisionText> {
  if (docIds !== undefined) {
    const ids = new Set(docIds);
    return ({ id }) => ids.has(id);
  }
  if (selector !== undefined) {
    const matches = compileSelector(JSON.parse(selector));
    return ({ text }) => matches(JSON.parse(text) as Record<string, unknown>);
  }
  if (filter === '_design') return ({ id }) => id.startsWith('_design/');
  if (filter !== undefined) throw notFound('a dump has no functions that could filter it');
  return () => true;
}

const textOf = (bytes: Buffer): RevisionText => revisionText(bytes.toString('utf8', 0, bytes.length - 1));

/** Bytes that are read in one go where documents follow each other. */
const RUN_LENGTH = 1 << 20;

/** Reads documents, those that stand one behind the other together. */
async function* readTexts(
  file: FileHandle,
  places: readonly Place[],
): AsyncGenerator<readonly RevisionText[]> {
  const sorted = places.toSorted((a, b) => a.start - b.start);
  for (let at = 0; at < sorted.length;) {
    const start = sorted[at]?.start ?? 0;
    let to = at + 1;
    let end = sorted[at]?.bodies ?? 0;
    for (; sorted[to]?.start === end && end - start < RUN_LENGTH; to++) end = sorted[to]?.bodies ?? end;
    const bytes = await readBytes(file, start, end - start);
    yield sorted.slice(at, to).map((one) => textOf(bytes.subarray(one.start - start, one.bodies - start)));
    at = to;
  }
}

async function* readBody(
  file: FileHandle,
  { name, length }: DumpedAttachment,
  cursor: { at: number },
): AsyncGenerator<Buffer> {
  let left = length;
  if (left === 0) return;
  for await (const lines of readLines(file, cursor.at)) {
    for (const line of lines) {
      const parsed = parseLine(line);
      if (parsed.kind !== 'attachment' || parsed.name !== name)
        throw damaged(line.start, 'an attachment ends early');
      const bytes = Buffer.from(parsed.data, 'base64');
      left -= bytes.length;
      cursor.at = line.end;
      yield bytes;
      if (left <= 0) return;
    }
  }
}
