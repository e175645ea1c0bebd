import type { Fault, FaultyProxy } from '../../support/faulty-proxy.js';
import type { Random } from './random.js';

/** Of requests something goes wrong with one in so many. */
const RARITY = 12;
/** A server that is strict takes no more bytes of documents at once: more than one document has, less than a batch. */
const STRICT_LENGTH = 6000;

/** What may go wrong: what becomes of a request, or the status that it is answered with. */
type Kind = Exclude<Fault['kind'], 'answer'> | number;
export type Kinds = readonly [Kind, ...Kind[]];

/** Those after which every replicator tries again. */
export const PASSING_FAULTS: Kinds = ['reset', 'truncated', 'cut', 'delay', 500, 503];
const ALL_FAULTS: Kinds = [...PASSING_FAULTS, 'silence', 'stall', 'truncated', 'reset', 401, 408, 429, 502];

function faultOf(kind: Kind, random: Random): Fault {
  const after = random.below(random.pick([300, 3000, 60_000]));
  switch (kind) {
    case 'silence':
      return { kind };
    case 'delay':
      return { kind, milliseconds: random.below(300) };
    case 'reset':
    case 'truncated':
    case 'stall':
    case 'cut':
      return { kind, after };
    case 429:
      return { kind: 'answer', status: kind, retryAfter: random.below(2) };
    default:
      return { kind: 'answer', status: kind };
  }
}

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
    private readonly kinds: Kinds = ALL_FAULTS,
  ) {}

  get port(): number {
    return this.proxy.port;
  }

  /** From now on things go wrong. */
  spoil(): void {
    this.#isStrict = this.kinds === ALL_FAULTS && this.random.next() < 0.3;
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
      return { kind: 'answer', status: 401 };
    }
    if (this.random.below(RARITY) !== 0) return undefined;
    const kind = this.random.pick(this.kinds);
    if (kind !== 401) return faultOf(kind, this.random);
    this.#strange = this.random.below(10);
    return { kind: 'answer', status: 401 };
  }

  #count(fault: Fault): void {
    const kind = fault.kind === 'answer' ? String(fault.status) : fault.kind;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
  }
}
