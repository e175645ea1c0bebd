/** The design document that CouchDB has in `_users`, and clients and replications expect there. */
export const AUTH_DESIGN = '_design/_auth';

/**
 * Its validation function. It is never run here: rules.ts does the same, and a test compares the two. A CouchDB that
 * is replicated to runs it.
 */
const VALIDATE = `function (newDoc, oldDoc, userCtx, secObj) {
  function refuse(reason) { throw { forbidden: reason }; }
  function has(list, item) { return Array.isArray(list) && list.indexOf(item) !== -1; }
  function isAdminBy(admins) {
    return has(admins.names, userCtx.name) || userCtx.roles.some(function (role) { return has(admins.roles, role); });
  }
  var isServerAdmin = has(userCtx.roles, '_admin');

  if (newDoc._deleted === true) {
    if (isServerAdmin || (oldDoc && userCtx.name === oldDoc.name)) return;
    refuse('Only admins may delete other user docs.');
  }

  if (newDoc.type !== 'user') refuse('doc.type must be user');
  if (!newDoc.name) refuse('doc.name is required');
  if (!newDoc.roles) refuse('doc.roles must exist');
  if (!Array.isArray(newDoc.roles)) refuse('doc.roles must be an array');
  newDoc.roles.forEach(function (role) {
    if (typeof role !== 'string') refuse('doc.roles can only contain strings');
  });
  if (typeof newDoc.name !== 'string' || newDoc._id !== 'org.couchdb.user:' + newDoc.name)
    refuse('Doc ID must be of the form org.couchdb.user:name');

  var scheme = newDoc.password_scheme;
  if (newDoc.password_sha && !newDoc.salt) refuse('Users with password_sha must have a salt.');
  if (scheme && !has(['simple', 'pbkdf2', 'simple+pbkdf2'], scheme))
    refuse('Password scheme \`' + (typeof scheme === 'string' ? scheme : JSON.stringify(scheme)) + '\` not supported.');
  if (scheme === 'pbkdf2') {
    if (typeof newDoc.iterations !== 'number') refuse('iterations must be a number.');
    if (typeof newDoc.derived_key !== 'string') refuse('derived_key must be a string.');
  }

  if (!isServerAdmin && !isAdminBy((secObj && secObj.admins) || {})) {
    if (oldDoc && oldDoc._deleted !== true) {
      if (userCtx.name !== newDoc.name) refuse('You may only update your own user document.');
      var before = (Array.isArray(oldDoc.roles) ? oldDoc.roles : []).slice().sort();
      var after = newDoc.roles.slice().sort();
      if (before.length !== after.length) refuse('Only _admin may edit roles');
      after.forEach(function (role, at) {
        if (role !== before[at]) refuse('Only _admin may edit roles');
      });
    } else if (newDoc.roles.length > 0) {
      refuse('Only _admin may set roles');
    }
  }

  newDoc.roles.forEach(function (role) {
    if (role.charAt(0) === '_' && role !== '_metrics')
      refuse('No system roles (starting with underscore) in users db.');
  });
  if (newDoc.name.charAt(0) === '_') refuse('Username may not start with underscore.');
  if (newDoc.name.indexOf(':') !== -1) refuse('Character \`:\` is not allowed in usernames.');
}`;

/** Its members. */
export const authDesign: Readonly<Record<string, string>> = {
  language: 'javascript',
  validate_doc_update: VALIDATE,
};
