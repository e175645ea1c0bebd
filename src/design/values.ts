/** Values that functions of design documents made. */

export type Json = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A member of an object that was made by others; undefined where it has none of its own. */
export const own = (value: Json, name: string): unknown =>
  Object.hasOwn(value, name) ? value[name] : undefined;
