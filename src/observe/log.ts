import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';
import { scrub } from './scrub.js';

export type Logger = PinoLogger;

/** The part of the configuration that is about logs. */
export interface LogOptions {
  readonly level: string;
}

const BOUND_SECRETS = ['authorization', 'cookie', 'password', 'secret', 'token'];

/**
 * Structured logs: one line of JSON each, on stderr. Secrets are masked whatever the caller passes:
 * passwords, tokens, cookies and the credentials in URLs.
 */
export function createLogger({ level }: LogOptions, destination: DestinationStream = stderr()): Logger {
  return pino(
    {
      level,
      base: null,
      // What a child logger is bound to does not go through `formatters.log`.
      redact: { paths: BOUND_SECRETS, censor: '***' },
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: (error: Error) => scrub(pino.stdSerializers.err(error)) },
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => scrub(fields),
      },
      hooks: {
        logMethod(args, method) {
          method.apply(this, args.map((value) => scrub(value)) as typeof args);
        },
      },
    },
    destination,
  );
}

/** Synchronous: the lines before a crash are the ones that matter. */
function stderr(): DestinationStream {
  return pino.destination({ dest: 2, sync: true });
}
