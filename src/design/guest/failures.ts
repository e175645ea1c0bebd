import { json, text } from './primordials.js';

/** What the client is to see: a word for the kind of error and a sentence. */
export class Failure extends Error {
  constructor(
    readonly error: string,
    readonly reason: string,
  ) {
    super(reason);
  }
}

/** The members of whatever was thrown. */
export type Thrown = Readonly<Record<string | number, unknown>> | null | undefined;

/** Whether an error is told in the words of CouchDB's protocol: `["error","word","reason"]`. */
export const isMessage = (thrown: Thrown): boolean => thrown?.[0] === 'error' || thrown?.[0] === 'fatal';

/** Whether something that was thrown says itself which error the client is to see. */
export const namesItsError = (thrown: Thrown): boolean =>
  Boolean(thrown?.error && thrown.reason) || isMessage(thrown);

/** What is told of an error of the function: `["TypeError","cannot read …"]`. */
export function describe(error: unknown): string {
  const thrown = error as Thrown;
  if (thrown === null || thrown === undefined) return json(['unnamed_error', text(thrown)]);
  if (isMessage(thrown)) return pair(thrown[1], thrown[2]);
  if (thrown.error && thrown.reason) return pair(thrown.error, thrown.reason);
  if (thrown.name) return pair(thrown.name, 'message' in Object(thrown) ? thrown.message : thrown);
  return pair('unnamed_error', spell(error));
}

const pair = (error: unknown, reason: unknown): string =>
  json([spell(error), reason === undefined ? null : reason]);

/** A text for any value. */
export function spell(value: unknown): string {
  try {
    return text(value);
  } catch {
    return 'an error that cannot be shown';
  }
}
