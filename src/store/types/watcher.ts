/** Hears what happens to databases. */
export interface DatabaseWatcher {
  /** A database is about to change, and does so once this resolves, or at once where it is undefined. Never rejects. */
  willChange(name: string): Promise<void> | undefined;
  /** Its documents changed; that is on disk. */
  didChange(name: string): void;
  /** Design documents were among them. */
  didChangeDesigns(name: string): void;
  /** It was opened without a part of what had been written, which is damaged. */
  lostPart(name: string): void;
  /** It was opened without anything, though this server had it in this folder before. */
  lostAll(name: string): void;
}
