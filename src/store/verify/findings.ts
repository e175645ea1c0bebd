/** How a finding is mended. */
const REFETCH =
  'purge this revision (`_purge`) and replicate the document again from a replica, then run `causeway verify --repair`, which counts the bytes anew; or restore the database from a copy';
const RESTORE = 'restore the database from a copy, or replicate what can be read into a new one';

/** Everything that verifying may find. A note is of no harm; everything else is a problem. */
const CATALOGUE = {
  // ---- the data directory
  directory_server: problem('restore it from a copy; without it, the next start gives the server a new uuid'),
  directory_runtime: problem('correct it, or remove it: what was set over HTTP is lost, and cookies end'),
  directory_open: problem(
    '`chmod 600` the file, `chmod 700` the folder; change the secret if others had access',
  ),
  directory_stray: note('not used; move it away if nobody needs it'),
  directory_marker: note('left over from a database that is gone; it may be removed'),
  rejections_damaged: problem(
    'restore the folder (`rejections`, of mirrors `mirror-rejections`) from a copy, or remove it: then nobody is told any more which revisions replications did not write',
  ),
  mirrors_damaged: problem(
    'restore the folder `mirrors` from a copy; where it is removed, an admin has to say anew what is to become of each mirror',
  ),
  accounts_damaged: problem(
    'remove the folder `upstream-accounts`: whoever has an account upstream is asked about there again',
  ),
  // ---- the files of a database
  files_missing: repairable(
    'files',
    'restore the database from a copy; or run `causeway verify --repair`, which saves what the other files hold',
  ),
  files_damaged: repairable(
    'files',
    'restore the database from a copy; or run `causeway verify --repair`, which saves what can be read, and puts the rest into `lost` in its folder',
  ),
  files_cut: note('the last write was cut off before it was acknowledged, as a crash does'),
  foreign_writes: note('the next start makes the indexes and counters anew; until then they are not checked'),
  unknown_part: note('not of PouchDB and not ours; nothing reads it'),
  // ---- documents and bodies
  record_damaged: problem(RESTORE),
  record_cache: repairable('entries'),
  record_status: repairable('entries'),
  record_feed: note('PouchDB leaves the document out of its own changes feed until it changes again'),
  stemming_due: note('their oldest revisions go with their next change'),
  body_missing: problem(REFETCH),
  body_damaged: problem(REFETCH),
  body_stray: problem('nothing reads it; replicate the database into a new one to be rid of it'),
  local_damaged: problem(RESTORE),
  // ---- attachments
  attachment_bytes_missing: problem(REFETCH),
  attachment_bytes_damaged: problem(REFETCH),
  attachment_length: problem(REFETCH),
  attachment_encoding: problem(REFETCH),
  attachment_refs: repairable('entries'),
  attachment_stray: repairable('entries'),
  attachment_uses: repairable('entries'),
  upload_marked: repairable(
    'entries',
    'do not start the server, which would remove its bytes; run `causeway verify --repair`, which takes the mark away',
  ),
  upload_damaged: repairable(
    'entries',
    'run `causeway verify --repair`, which takes the mark away: until then the database does not open',
  ),
  upload_unfinished: note('the next start removes what it left'),
  // ---- indexes and counters
  changes_missing: repairable('entries'),
  changes_wrong: repairable('entries'),
  changes_stray: repairable('entries'),
  changes_counts: repairable('entries'),
  large_bodies: repairable('entries'),
  conflicts_index: repairable('entries'),
  counters_missing: note(
    'the next start makes the indexes and counters anew; until then they are not checked',
  ),
  counters_wrong: repairable('entries'),
  pouchdb_counters: repairable('entries'),
  epochs_damaged: repairable(
    'entries',
    'run `causeway verify --repair`: clients read the changes feed from its beginning again',
  ),
  copy_damaged: repairable(
    'entries',
    'run `causeway verify --repair`: the database counts as restored, and pulls and pushes start again',
  ),
  copy_restored: note(
    'the next start takes the database for one that was put back from a copy, and pulls and pushes start again for it',
  ),
  settings_damaged: repairable(
    'entries',
    'run `causeway verify --repair`, which sets the default, then set it again',
  ),
  unsent_damaged: repairable(
    'entries',
    'run `causeway verify --repair`: the upstream is asked about every document again',
  ),
  unsent_left: note('of no harm: it goes when the database becomes a mirror again'),
  journal_damaged: problem('what was merged there cannot be undone any more; nothing else needs it'),
  journal_index: repairable('entries', 'run `causeway verify --repair`: it is made anew from the entries'),
  bases_wrong: repairable(
    'entries',
    'run `causeway verify --repair`: what is not there is forgotten, and the rest counted anew',
  ),
  purge_damaged: problem('purge those documents again: replicas may not have heard of it'),
} as const satisfies Record<string, FindingKind>;

export interface FindingKind {
  readonly level: 'problem' | 'note';
  /** What to do about it. */
  readonly mend: string;
  /** Which part of repairing mends it. */
  readonly repair?: RepairPart;
}

/** LevelDB's files, or what stands in them and can be made of the documents. */
export type RepairPart = 'files' | 'entries';

function problem(mend: string): FindingKind {
  return { level: 'problem', mend };
}

function repairable(
  repair: RepairPart,
  mend = 'run `causeway verify --repair`: it is made anew from the documents',
): FindingKind {
  return { level: 'problem', mend, repair };
}

function note(mend: string): FindingKind {
  return { level: 'note', mend };
}

/** Stable names of what may be found. */
export type FindingCode = keyof typeof CATALOGUE;

export const findingCodes = Object.keys(CATALOGUE) as readonly FindingCode[];

export const kindOf = (code: FindingCode): FindingKind => CATALOGUE[code];

/** One thing that was found. */
export interface Finding {
  readonly code: FindingCode;
  /** What is wrong, in one line. */
  readonly problem: string;
  /** Id of the document that it is about. */
  readonly document?: string | undefined;
}

/** Takes what was found, as it is found. */
export type Report = (finding: Finding) => void;
