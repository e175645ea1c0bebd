import { CouchError, insufficientStorage, internalError, unavailable } from '../errors.js';

/** What LevelDB, or the file system, gave as the reason; LevelDB's errors wrap each other. */
function* reasonsOf(error: unknown): Generator<{ readonly code: string; readonly message: string }> {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as { code?: unknown };
    yield { code: typeof code === 'string' ? code : '', message: at.message };
  }
}

/** Whether one of the reasons has this code of the system; LevelDB passes on only the system's words for it. */
const isFor = (error: unknown, code: string, words: string): boolean =>
  [...reasonsOf(error)].some((reason) => reason.code === code || reason.message.endsWith(words));

/** Whether there was no room on the disk. */
export const isNoSpace = (error: unknown): boolean =>
  isFor(error, 'ENOSPC', 'No space left on device') || isFor(error, 'EDQUOT', 'Disk quota exceeded');

/** Whether the process has no file handles left. */
export const isTooManyFiles = (error: unknown): boolean =>
  isFor(error, 'EMFILE', 'Too many open files') || isFor(error, 'ENFILE', 'Too many open files in system');

const isOfSystem = (error: unknown): boolean =>
  [...reasonsOf(error)].some(({ code }) => code === 'LEVEL_IO_ERROR' || /^E[A-Z0-9]+$/.test(code));

const isDamage = (error: unknown): boolean =>
  [...reasonsOf(error)].some(({ code }) => code === 'LEVEL_CORRUPTION');

/** A database, iterator, snapshot or batch of LevelDB that was closed under who works with it. */
const isClosed = (error: unknown): boolean =>
  [...reasonsOf(error)].some(({ code }) => /^LEVEL_\w+_NOT_OPEN$/.test(code));

/** What a client is told where the store failed; an error that is not of the store stays what it is. */
export function asAnswer(name: string, error: unknown): unknown {
  if (error instanceof CouchError) return error;
  if (isNoSpace(error)) return insufficientStorage(error);
  if (isTooManyFiles(error)) return tooManyFiles(error);
  if (isDamage(error)) return damaged(name, error);
  if (isClosed(error)) return unavailable('The database was opened again meanwhile.', error);
  return error;
}

/** What a client is told of a database that cannot be opened. */
export function asOpeningFailure(name: string, error: unknown): CouchError {
  if (error instanceof CouchError) return error;
  if (isNoSpace(error)) return insufficientStorage(error);
  if (isTooManyFiles(error)) return tooManyFiles(error);
  if (isOfSystem(error) && !isDamage(error) && !isFor(error, 'ENOENT', 'No such file or directory'))
    return internalError(`The database ${name} cannot be opened; the log of the server says why.`, error);
  return damaged(name, error);
}

/** What a client is told of a write that failed. */
export const asWriteFailure = (error: unknown): CouchError =>
  isNoSpace(error)
    ? insufficientStorage(error)
    : internalError('The write failed; whether any of it was stored is not known.', error);

/** What is answered between a write that failed and the time when writes are taken again. */
export const asRefusal = (error: unknown): CouchError =>
  isNoSpace(error)
    ? insufficientStorage(error)
    : unavailable('No writes are taken for a moment, because one failed.', error);

const tooManyFiles = (cause: unknown): CouchError =>
  unavailable('The server has too many files open.', cause);

/** A database whose files do not fit together. */
export const damaged = (name: string, cause: unknown): CouchError =>
  internalError(
    `The database ${name} is damaged; stop the server and run \`causeway verify\` to know more.`,
    cause,
  );
