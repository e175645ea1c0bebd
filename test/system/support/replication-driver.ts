import { setTimeout as pause } from 'node:timers/promises';
import type { Couch } from './couch.js';

/** What is asked of a replicator: the body of `_replicate`. */
export type ReplicationBody = Readonly<Record<string, unknown>>;

/** Has a server replicate, again and again, however often that fails or the server is killed. */
export class ReplicationDriver {
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #documents = 0;

  /** @param continuous whether a document asks for it, which lives through kills; else `_replicate` is asked */
  constructor(
    private readonly replicator: Couch,
    private readonly body: ReplicationBody,
    continuous: boolean,
    private readonly name: string,
  ) {
    this.#running = this.#run(continuous ? () => this.#follow() : () => this.once());
  }

  /** Replicates everything that is there. @throws where it does not work */
  async once(): Promise<{ readonly no_changes?: boolean }> {
    return (await this.replicator.post('/_replicate', this.body)) as { no_changes?: boolean };
  }

  /** Asks for nothing any more, whatever has become of the replicator. */
  abandon(): void {
    this.#stopping.abort();
  }

  /** Resolves when nothing is replicated any more; the replicator has to be well. */
  async stop(): Promise<void> {
    this.abandon();
    await this.#running;
    if (this.#documents > 0) await this.#drop();
  }

  async #run(step: () => Promise<unknown>): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await step().catch(() => undefined);
      await pause(50);
    }
  }

  /** A document that crashed is tried again much later: another takes its place. */
  async #follow(): Promise<void> {
    if (this.#documents > 0) {
      const { status, body } = await this.replicator.request('GET', `/_scheduler/docs${this.#path}`);
      const { state } = body as { state?: string };
      if (status === 200 && state !== 'crashing' && state !== 'failed') return;
      await this.#drop();
    }
    this.#documents += 1;
    await this.replicator.put(this.#path, { ...this.body, continuous: true });
  }

  get #path(): string {
    return `/_replicator/${this.name}-${String(this.#documents)}`;
  }

  async #drop(): Promise<void> {
    const { status, body } = await this.replicator.request('GET', this.#path);
    if (status === 404) return;
    const { _rev: rev } = body as { _rev: string };
    await this.replicator.delete(`${this.#path}?rev=${rev}`);
  }
}
