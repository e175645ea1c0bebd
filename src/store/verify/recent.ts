/** Remembers what was used last, as much as fits. */
export class Recent<K, V> {
  readonly #entries = new Map<K, V>();
  #weight = 0;

  /** @param capacity in the unit of `weigh`; entries when that is left out */
  constructor(
    private readonly capacity: number,
    private readonly weigh: (value: V) => number = () => 1,
  ) {}

  get(key: K): V | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, value);
    }
    return value;
  }

  /** Adds what is not there yet; the entries that were not used for longest make room. */
  add(key: K, value: V): void {
    this.#entries.set(key, value);
    this.#weight += this.weigh(value);
    for (const [oldest, gone] of this.#entries) {
      if (this.#weight <= this.capacity || oldest === key) return;
      this.#entries.delete(oldest);
      this.#weight -= this.weigh(gone);
    }
  }
}
