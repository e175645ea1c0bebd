/**
 * Which bytes on the disk somebody is about to give to a document. Only what is written there survives a crash: the
 * marks of the sublevel `uploads`, which nobody holds any more when the database is opened again.
 */
export class Holds {
  readonly #marks = new Set<string>();
  /** Digest → how many marks name it. */
  readonly #counts = new Map<string, number>();

  /** @param digests the values in PouchDB's form that the mark names; none for chunks */
  add(mark: string, digests: readonly string[] = []): void {
    this.#marks.add(mark);
    for (const digest of digests) this.#counts.set(digest, (this.#counts.get(digest) ?? 0) + 1);
  }

  remove(mark: string, digests: readonly string[] = []): void {
    if (!this.#marks.delete(mark)) return;
    for (const digest of digests) {
      const left = (this.#counts.get(digest) ?? 0) - 1;
      if (left > 0) this.#counts.set(digest, left);
      else this.#counts.delete(digest);
    }
  }

  /** Whether what the mark stands for is still there for whoever made it. */
  isHeld(mark: string): boolean {
    return this.#marks.has(mark);
  }

  /** Whether somebody holds the value of a digest. */
  holds(digest: string): boolean {
    return this.#counts.has(digest);
  }
}
