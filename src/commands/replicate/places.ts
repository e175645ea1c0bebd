import { exitCodes, StartError } from '../../config/exit.js';
import { isDatabaseName } from '../../store/names.js';

/** One side, as it was named. */
export type Place =
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'database'; readonly directory: string; readonly name: string }
  | { readonly kind: 'dump'; readonly path: string }
  /** The standard input or output. */
  | { readonly kind: 'stream' };

/** What a command line has wrong. */
export const wrong = (problem: string): StartError => new StartError([problem], exitCodes.usage);

/** @throws StartError */
export function parsePlace(text: string): Place {
  if (/^https?:\/\//i.test(text)) return { kind: 'url', url: text };
  if (text === '-') return { kind: 'stream' };
  if (text === '') throw wrong('the source and the target have to be named');
  // A folder may have one in its name, a database has none.
  const at = text.lastIndexOf('#');
  if (at < 0) return { kind: 'dump', path: text };
  const name = text.slice(at + 1);
  if (!isDatabaseName(name)) throw wrong(`"${name}" in "${text}" cannot be the name of a database`);
  return { kind: 'database', directory: text.slice(0, at) || '.', name };
}

/** Whether it is a file, or what is written or read as one. */
export const isDump = ({ kind }: Place): boolean => kind === 'dump' || kind === 'stream';
