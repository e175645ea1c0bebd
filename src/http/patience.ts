/** How much of its time a client has to move how much. */
export interface Pace {
  /** Milliseconds. */
  readonly progressTimeout: number;
  /** Bytes a second. */
  readonly minTransferRate: number;
}

/** How often within its time a transfer is looked at. */
const LOOKS = 4;

/**
 * Ends the transfers, of bodies and of answers, that their clients let stand or draw out. Time is counted in looks:
 * where the server itself stood still it is nobody's fault.
 */
export class Patience {
  readonly #transfers = new Set<Transfer>();
  readonly #timer: NodeJS.Timeout;
  /** Bytes that have to be moved in the time of all looks. */
  readonly #least: number;

  constructor({ progressTimeout, minTransferRate }: Pace) {
    this.#least = Math.max(1, (progressTimeout * minTransferRate) / 1000);
    this.#timer = setInterval(() => this.#look(), Math.ceil(progressTimeout / LOOKS)).unref();
  }

  /**
   * Begins a transfer, which has to be ended. The client is not waited for yet.
   * @param giveUp is called once where the client is too slow
   * @param credit for how many times its time a client may have moved bytes beforehand
   */
  begin(giveUp: () => void, credit = 0): Transfer {
    const transfer: Transfer = new Transfer(giveUp, () => this.#transfers.delete(transfer), credit);
    this.#transfers.add(transfer);
    return transfer;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    for (const transfer of this.#transfers) transfer.look(this.#least);
  }
}

/** Bytes on their way from or to a client. Only the time counts in which it is the client who is waited for. */
export class Transfer {
  #waiting = false;
  /** Looks at which the client was waited for, and the bytes that count for the time of these. */
  #looks = 0;
  #moved = 0;

  constructor(
    private readonly giveUp: () => void,
    private readonly forget: () => void,
    private readonly credit: number,
  ) {}

  /** It is the client's turn. */
  wait(): void {
    this.#waiting = true;
  }

  /** The client did its part. */
  moved(bytes: number): void {
    this.#waiting = false;
    this.#moved += bytes;
  }

  /** Nothing more is expected of the client. May be called again. */
  end(): void {
    this.forget();
  }

  look(least: number): void {
    // The first one may come at once.
    if (!this.#waiting || this.#looks++ < LOOKS) return;
    if (this.#moved < least) {
      this.end();
      this.giveUp();
    }
    this.#looks = 0;
    this.#moved = Math.min(this.#moved - least, this.credit * least);
  }
}
