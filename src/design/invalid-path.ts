import { CouchError } from '../errors.js';

/** A path that does not say what function is meant, or what for. */
export const invalidPath = (kind: 'list' | 'rewrite' | 'show' | 'update'): CouchError =>
  new CouchError(404, `${kind}_error`, 'Invalid path.');
