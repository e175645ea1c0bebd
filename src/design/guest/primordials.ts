/**
 * Runs inside QuickJS. What this code needs of the language, taken before a function of a design document can change
 * it. Nothing of it is reachable for them.
 */
export const { parse } = JSON;
/** JSON of a value; undefined where it has none, as functions have none. */
export const stringify: (value: unknown) => string | undefined = JSON.stringify;

export function json(value: unknown): string {
  // Most keys and values of views are numbers or nothing: these take a third of the time without the engine's writer.
  if (typeof value === 'number' && value - value === 0) return `${value}`;
  if (value === undefined || value === null) return 'null';
  return stringify(value) ?? 'null';
}

export const { apply, ownKeys } = Reflect;
export const { isArray } = Array;
export const { defineProperty, freeze, getOwnPropertyDescriptor, hasOwn, preventExtensions, values } = Object;
export const evaluate = eval;
export const text = String;

const objectPrototype = Object.prototype;

/**
 * Documents have members of any name, and a careless copy of one that has `__proto__` would change what all objects
 * inherit, and so what the function says of the next document. Nothing can be added to that any more, and assigning to
 * what is there changes only the object that it was assigned to.
 */
export function protectObjects(): void {
  for (const key of ownKeys(objectPrototype)) {
    const found = getOwnPropertyDescriptor(objectPrototype, key);
    if (found === undefined || !('value' in found)) continue;
    const value: unknown = found.value;
    defineProperty(objectPrototype, key, {
      get: () => value,
      set(this: object, replacement: unknown) {
        if (this === objectPrototype) return;
        defineProperty(this, key, {
          value: replacement,
          writable: true,
          enumerable: true,
          configurable: true,
        });
      },
      enumerable: false,
      configurable: false,
    });
  }
  preventExtensions(objectPrototype);
}

/** Makes a value of JSON one that nothing can be changed in: an assignment is as if it had not been. */
export function freezeAll(whole: unknown): void {
  // It may nest deeper than functions can call each other.
  const left: unknown[] = [whole];
  while (left.length > 0) {
    const value = left[left.length - 1];
    left.length--;
    if (typeof value !== 'object' || value === null) continue;
    freeze(value);
    for (const inner of values(value)) if (typeof inner === 'object') left[left.length] = inner;
  }
}

/** What errors say of where they were made is needed to compile functions; CouchDB's engine cannot change it either. */
export function protectStacks(): void {
  defineProperty(Error, 'prepareStackTrace', { value: undefined });
  defineProperty(Error, 'stackTraceLimit', { value: 10 });
}
