/** Who is asking: what CouchDB calls `userCtx`. */
export interface UserContext {
  /** `null` for a client that gave no credentials. */
  readonly name: string | null;
  readonly roles: readonly string[];
}

export const anonymous: UserContext = Object.freeze({ name: null, roles: Object.freeze([]) });

export function isServerAdmin(user: UserContext): boolean {
  return user.roles.includes('_admin');
}
