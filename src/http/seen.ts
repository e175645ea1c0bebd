import { AUTH_DESIGN } from '../auth/users/auth-design.js';
import { USERS } from '../auth/users/ids.js';
import type { UserContext } from '../auth/usercontext.js';
import { ValidatedView } from '../design/validation.js';
import { isReplicatorDatabase } from '../replicator/documents.js';
import type { Database } from '../store/types/database.js';
import type { Exchange } from './exchange.js';
import type { Services } from './services.js';

/** A database by the rules that it has for whoever asks, besides its security object. Nobody else's is handed on. */
export const seenBy = ({ server, user, response }: Exchange, db: Database): Database =>
  viewFor(server, user, server.mirrors.view(db), () => response.destroyed);

/** @param isGone whether nobody waits for what is done with it any more */
export function viewFor(
  { sandbox, users, replicator }: Pick<Services, 'sandbox' | 'users' | 'replicator'>,
  user: UserContext,
  db: Database,
  isGone: () => boolean,
): Database {
  // Its own rules are kept whether or not the function that says the same is there.
  if (db.name === USERS) return users.view(new ValidatedView(db, sandbox, user, AUTH_DESIGN), user, isGone);
  const validated = new ValidatedView(db, sandbox, user);
  return isReplicatorDatabase(db.name) ? replicator.view(validated, user) : validated;
}
