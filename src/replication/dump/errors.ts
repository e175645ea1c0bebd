/** A file is no dump, or not what a dump has to be. */
export class DumpError extends Error {
  override readonly name = 'DumpError';
}

/** What is named is a folder, a device, a pipe: nothing that a dump could be in. */
export class NoFile extends DumpError {
  constructor(path: string) {
    super(`${path} is no file`);
  }
}

/** Nobody could tell whose lines are whose, or where one's own went. */
export class DumpInUse extends Error {
  override readonly name = 'DumpInUse';

  constructor() {
    super('another process wrote to the dump, replaced or removed it');
  }
}

/** @param at byte of the file */
export const damaged = (at: number, what: string, cause?: unknown): DumpError =>
  new DumpError(`the dump is damaged at byte ${String(at)}: ${what}`, { cause });
