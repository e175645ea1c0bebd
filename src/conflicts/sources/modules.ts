import { createHash } from 'node:crypto';
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import path from 'node:path';

/** How often a module is looked at for changes, in milliseconds. */
const LOOK = 2000;
/** Hexadecimal digits that tell texts of a module apart. */
const DIGITS = 16;

/** Knows which text the modules have that are used. Must be closed. */
export class Modules {
  readonly #versions = new Map<string, string>();

  /** @param onChange is called when one has another text */
  constructor(private readonly onChange: () => void) {}

  /**
   * Names a module and its text, so that gateways with the same function say the same.
   * @param file absolute
   */
  versionOf(file: string): string {
    const known = this.#versions.get(file);
    if (known !== undefined) return known;
    // Looked at by its times, for it may be replaced in many ways, also on a volume that tells nobody.
    watchFile(file, { interval: LOOK, persistent: false }, this.#look);
    return this.#read(file);
  }

  /** Looks at all of them now. */
  look(): void {
    this.#look();
  }

  close(): void {
    for (const file of this.#versions.keys()) unwatchFile(file, this.#look);
    this.#versions.clear();
  }

  readonly #look = (): void => {
    const before = [...this.#versions];
    for (const [file] of before) this.#read(file);
    if (before.some(([file, version]) => this.#versions.get(file) !== version)) this.onChange();
  };

  #read(file: string): string {
    const version = `module ${path.basename(file)} ${textOf(file)}`;
    this.#versions.set(file, version);
    return version;
  }
}

function textOf(file: string): string {
  try {
    return createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, DIGITS);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unreadable';
  }
}
