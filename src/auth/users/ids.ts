/** The database of the users. */
export const USERS = '_users';

const PREFIX = 'org.couchdb.user:';

export const userId = (name: string): string => PREFIX + name;

/** The user whose document has this id; undefined where it is of another kind. */
export const userOf = (id: string): string | undefined =>
  id.startsWith(PREFIX) ? id.slice(PREFIX.length) : undefined;
