import type { Sequence } from './peer.js';

/** A batch of the feed that is being dealt with. It is done when everybody who works on it has let go of it. */
export class Ticket {
  #holders = 1;

  constructor(
    readonly seq: Sequence,
    private readonly onDone: () => void,
  ) {}

  get isDone(): boolean {
    return this.#holders === 0;
  }

  /** Something of the batch will be dealt with later. */
  hold(): void {
    this.#holders++;
  }

  release(): void {
    this.#holders--;
    if (this.#holders === 0) this.onDone();
  }
}

/** Knows up to where everything is done, when batches come to their ends in any order. */
export class SequenceTracker {
  /** The first is not done. */
  #open: Ticket[] = [];
  #through: Sequence;

  constructor(
    since: Sequence,
    private readonly onMove: () => void,
  ) {
    this.#through = since;
  }

  /** Everything up to here is done. */
  get through(): Sequence {
    return this.#through;
  }

  /** @param seq of the end of a batch; batches begin in the order of the feed */
  begin(seq: Sequence): Ticket {
    const ticket = new Ticket(seq, () => this.#advance());
    this.#open.push(ticket);
    return ticket;
  }

  #advance(): void {
    const before = this.#through;
    let done = 0;
    for (const ticket of this.#open) {
      if (!ticket.isDone) break;
      this.#through = ticket.seq;
      done++;
    }
    const left = this.#open.slice(done);
    // Behind one that is held for long many come to their ends: of those in a row the last says enough.
    this.#open = left.filter((ticket, at) => !ticket.isDone || left[at + 1]?.isDone !== true);
    if (this.#through !== before) this.onMove();
  }
}
