import { exitCodes } from '../config/exit.js';

/** As others are ended by SIGPIPE, which Node ignores. */
const NOBODY_READS = 141;

const leave = (error: NodeJS.ErrnoException): void => {
  if (error.code === 'EPIPE') process.exit(NOBODY_READS);
  process.stderr.write(`causeway: the output cannot be written: ${error.message}\n`);
  process.exit(exitCodes.cannotWrite);
};

/** Ends the program as soon as its output cannot be written; quietly where nobody reads it any more, as behind `head`. */
export function endWithReader(): void {
  process.stdout.on('error', leave);
  process.stderr.on('error', leave);
}

/** From now on the program goes on without readers. */
export function outliveReader(): void {
  process.stdout.off('error', leave).on('error', () => undefined);
  process.stderr.off('error', leave).on('error', () => undefined);
}
