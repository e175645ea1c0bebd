import { readFileSync } from 'node:fs';
import { compiled } from './compiled.js';

/** This program's version, as package.json has it. */
export const version = readVersion() ?? 'unknown';

function readVersion(): string | undefined {
  try {
    const text = readFileSync(new URL('../../package.json', compiled), 'utf8');
    return (JSON.parse(text) as { version?: string }).version;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
