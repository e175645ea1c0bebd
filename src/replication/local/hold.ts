import type { Database } from '../../store/types/database.js';
import type { LocalAccess } from './options.js';

/** A database that stays open until it is released. */
export interface Held {
  readonly database: Database;
  release(): Promise<void>;
}

/** Keeps a database open for work that is asked for piece by piece. @throws CouchError what `access.use` throws */
export async function hold(access: LocalAccess): Promise<Held> {
  let letGo: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (letGo = resolve));
  return new Promise((resolve, reject) => {
    const using = access.use(async (database) => {
      resolve({
        database,
        release: () => {
          letGo();
          return using;
        },
      });
      await released;
    });
    using.catch(reject);
  });
}
