/** Names from the document down to a value. */
export type Path = readonly string[];

/** A path as a JSON pointer. */
export const pointer = (path: Path): string =>
  path.map((name) => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

/** The path of a JSON pointer. */
export const pathOf = (text: string): Path =>
  text
    .split('/')
    .slice(1)
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));

/** Whether a text is a JSON pointer, or one with wildcards, to something inside of a document. */
export const isPattern = (text: string): boolean => /^(?:\/(?:[^/~]|~[01])*)+$/.test(text);

const ANY_DEPTH = '**';

/** What stands between the `*` of a name. */
type NamePattern = readonly string[];

/** Finds for a path what was given for it. A pointer counts before patterns, of which the first that fits counts. */
export class Fields<T> {
  readonly #exact = new Map<string, T>();
  readonly #patterns: { readonly names: readonly (NamePattern | typeof ANY_DEPTH)[]; readonly value: T }[] =
    [];

  /** @param fields by JSON pointers, in which `*` is any text within a name, and `**` any number of names */
  constructor(fields: Readonly<Record<string, T>>) {
    for (const [field, value] of Object.entries(fields)) {
      if (field.includes('*')) this.#patterns.push({ names: pathOf(field).map(compiled), value });
      else this.#exact.set(pointer(pathOf(field)), value);
    }
  }

  at(path: Path): T | undefined {
    const exact = this.#exact.size === 0 ? undefined : this.#exact.get(pointer(path));
    return exact ?? this.#patterns.find(({ names }) => fits(names, path))?.value;
  }
}

function compiled(name: string): NamePattern | typeof ANY_DEPTH {
  return name === ANY_DEPTH ? ANY_DEPTH : name.split('*');
}

/**
 * Looks for each text at the first place where it stands: whoever may try functions names patterns, and an expression that
 * goes back over a name again and again would keep everybody waiting.
 */
function isFitting([first = '', ...others]: NamePattern, name: string): boolean {
  const last = others.pop();
  if (last === undefined) return name === first;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const text of others) {
    const found = name.indexOf(text, at);
    if (found === -1) return false;
    at = found + text.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}

/** Goes through the names once, with all ways in which `**` may stand for some of them. */
function fits(names: readonly (NamePattern | typeof ANY_DEPTH)[], path: Path): boolean {
  let places = skipping(names, [0]);
  for (const name of path) {
    const next: number[] = [];
    for (const place of places) {
      const pattern = names[place];
      if (pattern === ANY_DEPTH) next.push(place, ...(place === names.length - 1 ? [place + 1] : []));
      else if (pattern !== undefined && isFitting(pattern, name)) next.push(place + 1);
    }
    places = skipping(names, next);
  }
  return places.includes(names.length);
}

/** `**` may stand for no name at all, but at the end. */
function skipping(names: readonly unknown[], places: readonly number[]): number[] {
  const found = new Set(places);
  for (const place of found) {
    if (names[place] === ANY_DEPTH && place < names.length - 1) found.add(place + 1);
  }
  return [...found];
}
