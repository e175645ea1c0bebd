import { CouchError } from '../../errors.js';
import type { Session } from './session.js';

/** Says of what fails because the upstream refuses it to the account of the gateway which account that is, and what it lacks. */
export const naming =
  ({ mirror }: Pick<Session, 'mirror'>, what: string) =>
  (error: unknown): never => {
    if (!(error instanceof CouchError) || (error.status !== 401 && error.status !== 403)) throw error;
    const { name, context } = mirror;
    const account = context.upstream.status()?.account;
    const who = typeof account === 'string' ? `the account ${account}` : 'the gateway, which has no account,';
    throw new CouchError(
      error.status,
      error.error,
      `the upstream does not let ${who} ${what} ${name}: ${error.reason || error.error}`,
      { cause: error },
    );
  };
