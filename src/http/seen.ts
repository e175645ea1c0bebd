import { AUTH_DESIGN } from '../auth/users/auth-design.js';
import { USERS } from '../auth/users/ids.js';
import { ValidatedView } from '../design/validation.js';
import type { Database } from '../store/types.js';
import type { Exchange } from './exchange.js';

/** A database by the rules that it has for whoever asks, besides its security object. Nobody else's is handed on. */
export function seenBy({ server, user, response }: Exchange, db: Database): Database {
  if (db.name !== USERS) return new ValidatedView(db, server.sandbox, user);
  // Its own rules are kept whether or not the function that says the same is there.
  const validated = new ValidatedView(db, server.sandbox, user, AUTH_DESIGN);
  return server.users.view(validated, user, () => response.destroyed);
}
