/** The database in which CouchDB keeps replications. */
export const REPLICATOR = '_replicator';

/** Others of that kind end with the same name. */
export const isReplicatorDatabase = (name: string): boolean =>
  name === REPLICATOR || name.endsWith(`/${REPLICATOR}`);

/** Documents that are no replications. */
export const isNoReplication = (id: string): boolean => id.startsWith('_design/') || id.startsWith('_local/');

export type Members = Readonly<Record<string, unknown>>;

/** The members of a stored or a given text. */
export const membersOf = (text: string): Members => JSON.parse(text) as Members;
