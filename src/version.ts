import { readFileSync } from 'node:fs';

/** This program's version, as package.json has it. Compiled files lie one folder deeper than their sources. */
export const version = readVersion('../package.json') ?? readVersion('../../package.json') ?? 'unknown';

function readVersion(relative: string): string | undefined {
  try {
    const text = readFileSync(new URL(relative, import.meta.url), 'utf8');
    return (JSON.parse(text) as { version?: string }).version;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
