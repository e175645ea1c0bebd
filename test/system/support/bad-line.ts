import type { Fault, FaultyProxy } from '../../support/faulty-proxy.js';
import type { Random } from './random.js';

/** Of requests something goes wrong with one in so many. */
const RARITY = 12;
/** A server that is strict takes no more bytes of documents at once: more than one document has, less than a batch. */
const STRICT_LENGTH = 6000;

/** The line between a replicator and a server, on which anything may go wrong with any request. */
export class BadLine {
  /** How often something went wrong, by what it was. */
  readonly counts = new Map<string, number>();
  /** Requests that the server does not know the account of, from now on. */
  #strange = 0;
  #isStrict = false;

  constructor(
    private readonly proxy: FaultyProxy,
    private readonly random: Random,
  ) {}

  get port(): number {
    return this.proxy.port;
  }

  /** From now on things go wrong. */
  spoil(): void {
    this.#isStrict = this.random.next() < 0.3;
    this.proxy.faults = (method, path, length) => {
      const fault = this.#fault(method, path, length);
      if (fault !== undefined) this.#count(fault);
      return fault;
    };
  }

  /** Nothing passes any more; what is under way is cut off. */
  cut(): void {
    this.proxy.faults = () => ({ kind: 'cut', after: 0 });
    this.proxy.cutAll();
  }

  heal(): void {
    this.#strange = 0;
    this.proxy.faults = () => undefined;
  }

  async close(): Promise<void> {
    await this.proxy.close();
  }

  #fault(method: string, path: string, length = 0): Fault | undefined {
    if (this.#isStrict && method === 'POST' && path.includes('/_bulk_docs') && length > STRICT_LENGTH)
      return { kind: 'answer', status: 413 };
    if (this.#strange > 0) {
      this.#strange -= 1;
      return { kind: 'answer', status: 401, body: '{"error":"unauthorized","reason":"who?"}' };
    }
    return this.random.below(RARITY) === 0 ? this.#anyFault() : undefined;
  }

  #anyFault(): Fault {
    const { random } = this;
    const after = random.below(random.pick([300, 3000, 60_000]));
    switch (random.below(12)) {
      case 0:
        this.#strange = random.below(10);
        return { kind: 'answer', status: 401 };
      case 1:
        return { kind: 'answer', status: 429, retryAfter: random.below(2) };
      case 2:
        return { kind: 'silence' };
      case 3:
        return { kind: 'stall', after };
      case 4:
      case 5:
        return { kind: 'truncated', after };
      case 6:
      case 7:
        return { kind: 'reset', after };
      case 8:
        return { kind: 'cut', after };
      case 9:
      case 10:
        return { kind: 'delay', milliseconds: random.below(300) };
      default:
        return { kind: 'answer', status: random.pick([500, 502, 503, 408]) };
    }
  }

  #count(fault: Fault): void {
    const kind = fault.kind === 'answer' ? String(fault.status) : fault.kind;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
  }
}
