import { overloaded } from '../../errors.js';
import { Queue } from '../../store/queue.js';

interface Line {
  readonly queue: Queue;
  length: number;
}

/** Has work for the same name done one after the other, and lets no more than so many wait for each. */
export class Turns {
  readonly #lines = new Map<string, Line>();

  constructor(private readonly most: number) {}

  /** @throws CouchError 503 where too many wait */
  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(name) ?? { queue: new Queue(), length: 0 };
    if (line.length >= this.most) throw overloaded('too many passwords of this name are being checked');
    this.#lines.set(name, line);
    line.length++;
    try {
      return await line.queue.add(work);
    } finally {
      line.length--;
      if (line.length === 0) this.#lines.delete(name);
    }
  }
}
