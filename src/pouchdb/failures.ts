import {
  createError,
  MISSING_STUB,
  NOT_OPEN,
  type PouchError,
  REV_CONFLICT,
  UNKNOWN_ERROR,
} from 'pouchdb-errors';
import { CouchError } from '../errors.js';
import type { Callback } from './api.js';

/** An error of the store as users of PouchDB know it. */
export function toPouchError(error: unknown): unknown {
  if (error instanceof CouchError) return Object.assign(ofStore(error), { cause: error });
  const { code } = error as { code?: unknown };
  return code === 'LEVEL_DATABASE_NOT_OPEN' ? withCause(NOT_OPEN, error) : error;
}

function ofStore(error: CouchError): PouchError {
  if (error.error === 'conflict') return createError(REV_CONFLICT);
  if (error.error === 'missing_stub') return createError(MISSING_STUB, error.reason);
  if (error.status === 503) return createError(NOT_OPEN, error.reason);
  return createError(UNKNOWN_ERROR, error.reason);
}

const withCause = (error: PouchError, cause: unknown): PouchError =>
  Object.assign(createError(error), { cause });

/** Why a directory is not opened. */
export const cannotOpen = (reason: string, cause?: unknown): PouchError =>
  Object.assign(createError(NOT_OPEN, reason), { message: reason, cause });

/** Tells a callback how work ends. */
export function answer<T>(work: Promise<T>, callback: Callback<T>): void {
  work.then(
    (result) => callback(null, result),
    (error: unknown) => callback(toPouchError(error)),
  );
}
