import { setTimeout as pause } from 'node:timers/promises';
import { bytesOf } from '../../support/attachments.js';
import type { Couch } from './couch.js';
import type { Random } from './random.js';

/** A revision and its ancestors, newest first. */
interface Known {
  readonly hashes: readonly string[];
  /** What is attached to it: the generation that brought it, by name. */
  readonly attached: ReadonlyMap<string, number>;
}

interface Attachment {
  /** The generation that brought it: by that, replicators know what others have. */
  readonly revpos: number;
  readonly [member: string]: unknown;
}

interface Request {
  readonly docs: readonly object[];
  /** What is known when it is answered. */
  readonly made: readonly (readonly [id: string, Known])[];
}

const BATCH = 8;
/** Milliseconds between two requests. */
const REST = 120;
/** Most attachments fit into memory, some are stored in chunks (`ARGS` of kill-load.ts). */
const LARGEST = 90_000;

/**
 * Fills a database with revisions of its own choice, as a replicator writes them: new documents, edits, branches and
 * deletions, some with attachments, of which edits keep some.
 */
export class RevisionWriter {
  /** Every revision of each document that is in the database for certain. */
  #known = new Map<string, Known[]>();
  #life = 0;
  #count = 0;
  /** A request is repeated until it is answered. */
  #request: Request | undefined;
  #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();

  /**
   * @param isRelayed whether PouchDB clients pass on what it writes: PouchDB 9.0 mixes attachments up that have the same name
   * in several leaves of a document, whatever servers it is between
   */
  constructor(
    private readonly couch: Couch,
    private readonly database: string,
    private readonly random: Random,
    private readonly isRelayed = false,
  ) {}

  /** Every revision that is in the database for certain. */
  get written(): readonly (readonly [id: string, rev: string])[] {
    return [...this.#known].flatMap(([id, revisions]) =>
      revisions.map(({ hashes }) => [id, `${String(hashes.length)}-${hashes[0] ?? ''}`] as const),
    );
  }

  /** How many documents it ever made. */
  get count(): number {
    return this.#count;
  }

  /** The database may have lost what was written: from now on all documents are others. */
  forget(): void {
    this.#known = new Map();
    this.#request = undefined;
    this.#life += 1;
  }

  /** Writes until it is stopped, however often the server is away. */
  start(): void {
    this.#stopping = new AbortController();
    this.#running = this.#run(this.#stopping.signal);
  }

  /** Resolves when nothing is written any more: only then do two readings of a feed fit together. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // Whatever is wrong with the server shows in the end.
      await this.write().catch(() => undefined);
      await pause(REST);
    }
  }

  /** @throws where the server does not take it */
  async write(count = BATCH): Promise<void> {
    const life = this.#life;
    const { docs, made } = (this.#request ??= this.#next(count));
    const request = { new_edits: false, docs };
    const { status, body } = await this.couch.request('POST', `/${this.database}/_bulk_docs`, {
      body: request,
    });
    if (life !== this.#life) return;
    this.#request = undefined;
    if (status !== 201 || (body as unknown[]).length > 0)
      throw new Error(`_bulk_docs: ${String(status)} ${JSON.stringify(body)}`);
    for (const [id, one] of made) this.#known.set(id, [...(this.#known.get(id) ?? []), one]);
  }

  #next(count: number): Request {
    const made: [id: string, Known][] = [];
    const docs = Array.from({ length: count }, () => this.#revision(made));
    return { docs, made };
  }

  #revision(made: [id: string, Known][]): object {
    const { random } = this;
    const ids = [...this.#known.keys()];
    const isEdit = ids.length > 10 && random.next() < 0.5;
    const id = isEdit
      ? (ids[random.below(ids.length)] ?? '')
      : `doc ${String(this.#life)}/${String(++this.#count)}`;
    const revisions = this.#known.get(id) ?? [];
    const parent = revisions[random.below(revisions.length)];
    const hashes = [random.hash(), ...(parent?.hashes ?? [])];
    const deleted = parent !== undefined && random.next() < 0.15;
    // Of what is no leaf, a compaction may have dropped the attachments.
    const before = parent === revisions.at(-1) ? parent?.attached : undefined;
    const attachments = deleted ? new Map<string, Attachment>() : this.#attachments(hashes.length, before);
    const attached = new Map(Array.from(attachments, ([name, { revpos }]) => [name, revpos]));
    made.push([id, { hashes, attached }]);
    return {
      _id: id,
      _rev: `${String(hashes.length)}-${hashes[0] ?? ''}`,
      _revisions: { start: hashes.length, ids: hashes },
      ...(deleted && { _deleted: true }),
      _attachments: Object.fromEntries(attachments),
      number: this.#count,
      text: 'ä'.repeat(random.below(400)),
    };
  }

  #attachments(generation: number, before: ReadonlyMap<string, number> = new Map()): Map<string, Attachment> {
    const { random } = this;
    const attachments = new Map<string, Attachment>();
    for (const [name, revpos] of before)
      if (random.next() < 0.7) attachments.set(name, { stub: true, revpos });
    if (random.next() > 0.2) return attachments;
    const data = bytesOf(random.below(random.next() < 0.2 ? LARGEST : 3000), random.below(2 ** 31));
    const type = random.pick(['application/octet-stream', 'text/plain']);
    const added = { content_type: type, data: data.toString('base64'), revpos: generation };
    const name = this.isRelayed ? random.hash() : String(random.below(3));
    return attachments.set(`ä ${name}`, added);
  }
}
