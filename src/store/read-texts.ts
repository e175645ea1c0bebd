import type { ClassicLevel } from 'classic-level';

/** So many texts are read without a thread at most, and for so many milliseconds. */
const FEW = 100;
const SLICE = 1;

/**
 * The values of keys, undefined where there is none. A few are mostly in LevelDB's cache: each takes a microsecond, and
 * to wake a thread takes up to a hundred. Threads read what is left where they are not.
 */
export async function readTexts(
  level: Pick<ClassicLevel, 'getMany' | 'getSync'>,
  keys: readonly string[],
): Promise<readonly (string | undefined)[]> {
  if (keys.length > FEW) return level.getMany([...keys]);
  const texts: (string | undefined)[] = [];
  for (const end = performance.now() + SLICE; texts.length < keys.length && performance.now() < end;) {
    texts.push(level.getSync(keys[texts.length] ?? ''));
  }
  return texts.length === keys.length
    ? texts
    : [...texts, ...(await level.getMany(keys.slice(texts.length)))];
}
