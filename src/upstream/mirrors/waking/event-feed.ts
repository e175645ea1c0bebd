import { CouchError } from '../../../errors.js';
import { bytes, type HttpAnswer, type HttpRequest } from '../../../replication/http/client.js';
import { PeerUnreachable } from '../../../replication/peer.js';
import { GLOBAL_CHANGES } from '../../../store/global-changes.js';
import type { Ask } from '../../directory.js';

/** Sends a request as the account of the gateway. @throws CouchError, PeerUnreachable */
export type Send = (request: HttpRequest) => Promise<HttpAnswer>;

/** What the upstream tells of one of its databases. */
export interface DatabaseEvent {
  readonly name: string;
  readonly type: 'created' | 'updated' | 'deleted';
}

export interface EventListener {
  /** The feed tells of whatever happens from now on. @param isGap whether something may have happened that it never told of */
  onOpen(isGap: boolean): void;
  onEvent(event: DatabaseEvent): void;
}

/** How often the upstream has to show life, and after how long without it the feed is given up, in milliseconds. */
const HEARTBEAT = 25_000;
const SILENCE = 60_000;
/** No event is longer. */
const LONGEST_LINE = 64 << 10;

/** Where it goes on. */
interface Place {
  /** The life of the database of the events: in another one, its sequences mean something else. */
  readonly instance: string;
  readonly seq: string;
}

/** The feed of what happens to the databases of the upstream, which only its server admins may read. */
export class EventFeed {
  #place: Place | undefined;

  constructor(
    private readonly ask: Ask,
    private readonly send: Send,
  ) {}

  /**
   * Reads it until it ends, from where it ended the last time.
   * @throws CouchError, 401, 403 or 404 where the account has no right to it or nobody made the database of the events;
   * PeerUnreachable
   */
  async follow(listener: EventListener, signal: AbortSignal): Promise<void> {
    const now = await this.#look(signal);
    const before = this.#place;
    const isGap = before?.instance !== now.instance || numberOf(before.seq) > numberOf(now.seq);
    if (isGap) this.#place = now;
    const since = encodeURIComponent((isGap ? now : before).seq);
    const path = `_db_updates?feed=continuous&heartbeat=${HEARTBEAT}&since=${since}`;
    const silence = new AbortController();
    const giveUp = (): void => silence.abort(new PeerUnreachable('the feed of events fell silent'));
    const timer = setTimeout(giveUp, SILENCE).unref();
    try {
      const within = AbortSignal.any([signal, silence.signal]);
      const answer = await this.send({ method: 'GET', path, signal: within });
      listener.onOpen(isGap);
      for await (const lines of linesOf(bytes(answer.body))) {
        timer.refresh();
        for (const line of lines) if (line !== '') this.#take(line, listener);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Its next beginning follows a gap: the upstream is another one. */
  forget(): void {
    this.#place = undefined;
  }

  async #look(signal: AbortSignal): Promise<Place> {
    const info = await this.ask({ method: 'GET', path: GLOBAL_CHANGES, signal });
    const { update_seq: seq, instance_start_time: instance } = info as Record<string, unknown>;
    // Something that has such a database and calls its sequences by numbers has no such feed.
    if (typeof seq !== 'string') throw new CouchError(404, 'not_found', 'it has no feed of events');
    return { seq, instance: String(instance) };
  }

  #take(line: string, listener: EventListener): void {
    const row = rowOf(line);
    if (this.#place !== undefined && typeof row.seq === 'string')
      this.#place = { ...this.#place, seq: row.seq };
    const { db_name: name, type } = row;
    if (typeof name === 'string' && (type === 'created' || type === 'updated' || type === 'deleted'))
      listener.onEvent({ name, type });
  }
}

/** The place in the feed that a sequence begins with. */
const numberOf = (seq: string): number => Number.parseInt(seq, 10);

function rowOf(line: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(line)) as Record<string, unknown>;
  } catch (error) {
    throw new PeerUnreachable('the feed of events is not what it should be', { cause: error });
  }
}

/** Whole lines, as they come; none where only a part of one came. */
async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<readonly string[]> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LONGEST_LINE) throw new PeerUnreachable('a line of the feed of events is too long');
    yield lines;
  }
}
