import { exitCodes, StartError } from '../../config/exit.js';
import { CouchError } from '../../errors.js';
import { DumpError, DumpInUse } from '../../replication/dump/errors.js';
import { PeerUnreachable } from '../../replication/peer.js';

/** Why nothing, or no more, could be copied: a line for a person, with an exit code; other errors are defects. */
export function asStartError(error: unknown, target: string): unknown {
  if (error instanceof DumpError)
    return new StartError([error.message], exitCodes.dataFormat, { cause: error });
  if (error instanceof DumpInUse)
    return new StartError([`${target}: ${error.message}`], exitCodes.locked, { cause: error });
  if (error instanceof PeerUnreachable)
    return new StartError([error.message], exitCodes.unavailable, { cause: error });
  if (error instanceof CouchError) return ofCouchError(error, target);
  const { syscall, message } = error as NodeJS.ErrnoException;
  if (syscall !== undefined)
    return new StartError([`${target} cannot be written: ${message}`], exitCodes.cannotWrite, {
      cause: error,
    });
  return error;
}

function ofCouchError(cause: CouchError, target: string): StartError {
  const { status, error, reason } = cause;
  if (error === 'db_not_found') {
    if (reason !== `could not open ${target}`)
      return new StartError([`there is no database: ${reason}`], exitCodes.noInput, { cause });
    const hint = `there is no database ${target}; --create-target makes it`;
    return new StartError([hint], exitCodes.cannotWrite, { cause });
  }
  const exitCode =
    status === 401 || status === 403
      ? exitCodes.denied
      : status === 404
        ? exitCodes.noInput
        : status === 507
          ? exitCodes.cannotWrite
          : exitCodes.unavailable;
  return new StartError([`${error}: ${reason}`], exitCode, { cause });
}
