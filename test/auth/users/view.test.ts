import { expect, test } from 'vitest';
import { UsersView } from '../../../src/auth/users/view.js';
import { DatabaseView } from '../../../src/store/database-view.js';

/** What shows and changes no document, or is asked only once its route has asked for an admin. */
const PASSED_ON = [
  'bases',
  'bodyBound',
  'compact',
  'conflicts',
  'countRange',
  'ensureFullCommit',
  'events',
  'indexes',
  'info',
  'instanceStartTime',
  'isPartitioned',
  'journal',
  'name',
  'openAttachments',
  'parseToken',
  'partitionInfo',
  'pending',
  'purge',
  'purgeSeq',
  'purgedInfosLimit',
  'revsLimit',
  'rules',
  'security',
  'setPurgedInfosLimit',
  'setRevsLimit',
  'setSecurity',
  'stageAttachments',
  'token',
  'trackUnsent',
  'unsent',
  'updateSeq',
];

test('whatever else there is to do with a database has a rule for that of the users', () => {
  const own = new Set(Object.getOwnPropertyNames(UsersView.prototype));
  const passedOn = Object.getOwnPropertyNames(DatabaseView.prototype).filter((name) => !own.has(name));
  expect(passedOn.sort()).toEqual(PASSED_ON);
});
