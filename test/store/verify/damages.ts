import type { ClassicLevel } from 'classic-level';
import * as layout from '../../../src/store/layout.js';
import {
  keysOf,
  drop,
  add,
  alter,
  flip,
  seqOf,
  atBody,
  garbage,
  state,
  record,
  atShared,
  marksOf,
  BYTES_DIGEST,
} from './breaking.js';

/** What a database is broken by, what is found then, and what is found after it was mended. */
export interface Damage {
  readonly by: (level: ClassicLevel) => Promise<unknown>;
  readonly finds: readonly string[];
  /** Opening the database mends it; else it is repaired. */
  readonly start?: true;
  /** What is left to be restored or fetched anew. */
  readonly left?: readonly string[];
}

const {
  documents,
  bodies,
  attachments,
  binaries,
  changes,
  changeCounts,
  chunked,
  chunks,
  meta,
  attachmentUses,
  refs,
  unsent,
  uploads,
} = layout;

/** Everything that hangs on a record. */
const INDEXES = ['changes_counts', 'changes_stray', 'counters_wrong', 'pouchdb_counters'];

/** What is said of the only body that is kept for merges is said of another one. */
async function moveBase(level: ClassicLevel, seq: number): Promise<void> {
  await alter(layout.bases, undefined, (text) => text.replace(/\[\[[0-9]+,/, `[[${String(seq)},`))(level);
  await drop(layout.baseMarks)(level);
  await add(layout.baseMarks, ...marksOf(seq))(level);
}

export const DAMAGES: Record<string, Damage> = {
  'a record that is gone': {
    by: drop(documents, 'a'),
    finds: ['body_stray', ...INDEXES],
    left: ['body_stray'],
  },
  'a record that is no JSON': {
    by: alter(documents, 'a', garbage),
    finds: ['record_damaged'],
    left: ['record_damaged'],
  },
  'a record of another document': {
    by: alter(documents, 'a', record({ id: 'b' })),
    finds: ['record_damaged'],
    left: ['record_damaged'],
  },
  'a tree without a generation': {
    by: alter(documents, 'a', (text) => text.replace('"pos":1', '"pos":-1')),
    finds: ['record_damaged'],
    left: ['record_damaged'],
  },
  'a leaf that stands twice': {
    by: alter(documents, 'c', (text) => text.replace('"b",', '"a",')),
    finds: ['record_damaged'],
    left: ['record_damaged'],
  },
  'a body of a revision that is not in the tree': {
    by: alter(documents, 'c', (text) => text.replace('"rev_map":{', '"rev_map":{"9-x":1,')),
    finds: ['record_damaged'],
    left: ['record_damaged'],
  },
  'another winner': { by: alter(documents, 'c', record({ winningRev: '1-a' })), finds: ['record_cache'] },
  'a deletion that is none': {
    by: alter(documents, 'c', record({ deleted: true })),
    finds: ['record_cache'],
  },
  'a body that is said to be dropped': {
    by: alter(documents, 'a', (text) => text.replace('available', 'missing')),
    finds: ['record_status'],
  },
  'another sequence in a record': {
    by: alter(documents, 'a', record({ seq: 1 })),
    // What stands at the last change is kept.
    finds: ['changes_missing', 'changes_stray', 'counters_wrong'],
  },
  'the body of a leaf that is gone': {
    by: atBody('a', 3, () => undefined),
    finds: ['body_missing'],
    left: ['body_missing'],
  },
  'the body of an ancestor that is gone': {
    by: atBody('a', 1, () => undefined),
    finds: ['body_missing'],
    left: ['body_missing'],
  },
  'the body of a revision with attachments that is gone': {
    by: atBody('f@1', 2, () => undefined),
    finds: ['body_missing'],
    left: ['body_missing'],
  },
  'a body that is no JSON': { by: atBody('a', 3, garbage), finds: ['body_damaged'], left: ['body_damaged'] },
  'a body of another document': {
    by: atBody('a', 3, (text) => text.replace('"a"', '"c"')),
    finds: ['body_damaged'],
    left: ['body_damaged'],
  },
  'a body that nobody has': {
    by: add(bodies, layout.seqKey(900), '{"_id":"a","_rev":"9-x"}'),
    finds: ['body_stray', 'counters_wrong'],
    left: ['body_stray'],
  },
  'a body at no sequence': { by: add(bodies, 'x', '{}'), finds: ['body_stray'], left: ['body_stray'] },
  'a local document that is no JSON': {
    by: alter(layout.locals, '_local/x', garbage),
    finds: ['local_damaged'],
    left: ['local_damaged'],
  },
  'an attachment without an entry': { by: drop(attachments), finds: ['attachment_refs'] },
  'an entry of an attachment that is no JSON': {
    by: alter(attachments, undefined, garbage),
    finds: ['attachment_refs'],
  },
  'an owner too few': {
    by: alter(attachments, undefined, (text) => text.replace(/"f@1@[^"]*":true/, '"a@1-x":true')),
    finds: ['attachment_refs', 'attachment_stray'],
  },
  'an owner too many': {
    by: alter(attachments, undefined, (text) => text.replace('{"refs":{', '{"refs":{"a@1-x":true,')),
    finds: ['attachment_stray'],
  },
  'bytes that are gone': {
    by: drop(binaries),
    finds: ['attachment_bytes_missing'],
    left: ['attachment_bytes_missing'],
  },
  'a byte of a small attachment': {
    by: flip(binaries, ({ length }) => length === 300),
    finds: ['attachment_bytes_damaged'],
    left: ['attachment_bytes_damaged'],
  },
  'a byte of a compressed form': {
    by: flip(binaries, ({ length }) => length < 300),
    finds: ['attachment_bytes_damaged'],
    left: ['attachment_bytes_damaged'],
  },
  'a compressed form of other bytes': {
    by: atBody('f@1', 2, (text) => {
      const { _attachments: all } = JSON.parse(text) as { _attachments: Record<string, { digest: string }> };
      return text
        .replace(all.text?.digest ?? '?', all.small?.digest ?? '?')
        .replace('"length":6000', '"length":300');
    }),
    finds: ['attachment_encoding', 'attachment_stray'],
    left: ['attachment_encoding'],
  },
  'another length of an attachment': {
    by: atBody('f@1', 2, (text) => text.replace('"length":300', '"length":301')),
    finds: ['attachment_length'],
    left: ['attachment_length'],
  },
  'bytes that nobody has': { by: add(binaries, 'md5-x', 'bytes'), finds: ['attachment_stray'] },
  'a large attachment that is not known': {
    by: drop(chunked),
    finds: ['attachment_bytes_missing', 'attachment_stray', 'counters_wrong'],
    left: ['attachment_bytes_missing'],
  },
  'a chunk that is gone': {
    by: drop(chunks),
    finds: ['attachment_bytes_damaged'],
    left: ['attachment_bytes_damaged'],
  },
  'a byte of a chunk': {
    by: flip(chunks),
    finds: ['attachment_bytes_damaged'],
    left: ['attachment_bytes_damaged'],
  },
  'chunks that nobody has': {
    by: add(chunks, `x/${layout.seqKey(0)}`, 'bytes'),
    finds: ['attachment_stray'],
  },
  'an upload that was cut off': {
    by: async (level) => {
      await add(chunks, `x/${layout.seqKey(0)}`, 'bytes')(level);
      await add(layout.uploads, 'x', '')(level);
    },
    finds: ['upload_unfinished'],
    start: true,
  },
  'a mark on chunks of an attachment': {
    by: async (level) => {
      const [text = ''] = await level.values({ gte: chunked.start, lt: chunked.end }).all();
      await add(layout.uploads, (JSON.parse(text) as { upload: string }).upload, '')(level);
    },
    finds: ['upload_marked'],
  },
  'values that were never given to a document': {
    by: async (level) => {
      await add(binaries, BYTES_DIGEST, 'bytes')(level);
      await add(uploads, 'x', JSON.stringify([BYTES_DIGEST]))(level);
    },
    finds: ['upload_unfinished'],
    start: true,
  },
  'a mark on a value that a document has': {
    by: async (level) => {
      const [key = ''] = await keysOf(level, binaries);
      await add(uploads, 'x', JSON.stringify([binaries.strip(key)]))(level);
    },
    finds: ['upload_unfinished'],
    start: true,
  },
  'a mark of values that are not there': {
    by: add(uploads, 'x', '["md5-x"]'),
    finds: ['upload_unfinished'],
    start: true,
  },
  'a mark that cannot be read': {
    by: async (level) => {
      await add(binaries, BYTES_DIGEST, 'bytes')(level);
      await add(uploads, 'x', '["')(level);
    },
    finds: ['attachment_stray', 'upload_damaged'],
  },
  'a mark that names no digests': { by: add(uploads, 'x', '{}'), finds: ['upload_damaged'] },
  'one of very many owners too few': {
    by: atShared((level, digest) =>
      level.clear({ gt: layout.refKey(digest, ''), lt: layout.refsEnd(digest), limit: 1 }),
    ),
    finds: ['attachment_refs'],
  },
  'one of very many owners too many': {
    by: atShared(async (level, digest) => {
      const count = Number(await level.get(refs.key(digest)));
      await level.put(layout.refKey(digest, 'a@1-x'), '');
      await level.put(refs.key(digest), String(count + 1));
    }),
    finds: ['attachment_stray'],
  },
  'another number of very many owners': {
    by: atShared((level, digest) => level.put(refs.key(digest), '7')),
    finds: ['attachment_refs'],
  },
  'no number of very many owners': {
    by: atShared((level, digest) => level.del(refs.key(digest))),
    finds: ['attachment_refs'],
  },
  'no entry of an attachment that very many have': {
    by: atShared((level, digest) => level.del(attachments.key(digest))),
    finds: ['attachment_refs'],
  },
  'an entry that names one of very many owners': {
    by: atShared((level, digest) => level.put(attachments.key(digest), '{"refs":{"i000@1-x":true}}')),
    finds: ['attachment_refs', 'attachment_stray'],
  },
  'an entry that says owners are elsewhere, and they are not': {
    by: atShared((level, digest) => level.clear({ gte: refs.key(digest), lt: layout.refsEnd(digest) })),
    finds: ['attachment_refs'],
  },
  'very many owners of nothing': {
    by: async (level) => {
      await level.put(layout.refKey(BYTES_DIGEST, 'a@1-x'), '');
      await level.put(refs.key(`${BYTES_DIGEST}x`), '1');
      await level.put(refs.key('x'), '1');
    },
    finds: ['attachment_stray'],
  },
  'another number of bodies that have an attachment': {
    by: alter(attachmentUses, undefined, (text) => String(Number(text) + 1)),
    finds: ['attachment_uses'],
  },
  'no number of bodies that have an attachment': { by: drop(attachmentUses), finds: ['attachment_uses'] },
  'a number of bodies that have nothing': {
    by: add(attachmentUses, 'md5-x', '1'),
    finds: ['attachment_uses'],
  },
  'a row of the feed that is gone': { by: drop(changes), finds: ['changes_missing'] },
  'another row of the feed': {
    by: alter(changes, undefined, (text) => text.replace('"rev":"', '"rev":"9')),
    finds: ['changes_wrong'],
  },
  'a row too many': { by: add(changes, layout.seqKey(2), '{"id":"a"}'), finds: ['changes_stray'] },
  'a count of the feed that is gone': { by: drop(changeCounts), finds: ['changes_counts'] },
  'another count of the feed': { by: alter(changeCounts, undefined, () => '1'), finds: ['changes_counts'] },
  'a count of nothing': { by: add(changeCounts, layout.seqKey(1024), '1'), finds: ['changes_counts'] },
  'a length of a large body that is gone': {
    by: async (level) => drop(meta, `large_body/${layout.seqKey(await seqOf(level, 'big'))}`)(level),
    finds: ['large_bodies'],
  },
  'another length of a large body': {
    by: async (level) =>
      alter(meta, `large_body/${layout.seqKey(await seqOf(level, 'big'))}`, () => '1')(level),
    finds: ['large_bodies'],
  },
  'a length of no body': {
    by: add(meta, `large_body/${layout.seqKey(1)}`, '999999'),
    finds: ['large_bodies'],
  },
  'a conflict that is not in the index': { by: drop(layout.conflicts), finds: ['conflicts_index'] },
  'another number of leaves in the index of conflicts': {
    by: alter(layout.conflicts, undefined, (text) => text.replace('"leaves":2', '"leaves":3')),
    finds: ['conflicts_index'],
  },
  'a conflict of no document': {
    by: add(layout.conflicts, layout.seqKey(9000), '{"id":"a","leaves":2}'),
    finds: ['conflicts_index'],
  },
  'counters of a version that knew no conflicts': {
    by: alter(meta, 'state', (text) => text.replace(/,"conflicts":[0-9]+,"notedConflicts":[0-9]+/, '')),
    finds: ['counters_missing'],
    start: true,
  },
  'an entry of the journal that is no JSON': {
    by: alter(layout.journal, undefined, garbage),
    finds: ['journal_damaged', 'journal_index'],
    left: ['journal_damaged'],
  },
  'an entry of the journal that is gone': {
    by: drop(layout.journal),
    finds: ['journal_damaged', 'journal_index'],
    left: ['journal_damaged'],
  },
  'leaves of the journal that cannot be read': {
    by: alter(layout.journalLeaves, undefined, garbage),
    finds: ['attachment_uses', 'journal_damaged', 'journal_index'],
    left: ['journal_damaged'],
  },
  'leaves of the journal that are gone': {
    by: drop(layout.journalLeaves),
    finds: ['attachment_stray', 'attachment_uses', 'journal_index'],
  },
  'a leaf of the journal that another one is like that is no JSON': {
    by: alter(layout.journalLeaves, `${layout.seqKey(2)}/0`, (text) => text.replace('{', '"')),
    finds: ['journal_damaged'],
    left: ['journal_damaged'],
  },
  'an entry of the journal that is not known by its document': {
    by: drop(layout.journalIds),
    finds: ['journal_index'],
  },
  'counters of the journal that are no JSON': {
    by: alter(meta, 'journal', garbage),
    finds: ['journal_index'],
  },
  'an entry of bodies that are kept for merges that is no JSON': {
    by: alter(layout.bases, undefined, garbage),
    finds: ['bases_wrong'],
  },
  'an entry of such bodies with a body that has no bytes': {
    by: alter(layout.bases, undefined, (text) => text.replace(/,[0-9]+\]\]/, ']]')),
    finds: ['bases_wrong'],
  },
  'an entry of such bodies that is gone': {
    by: drop(layout.bases),
    finds: ['bases_wrong'],
  },
  'an entry of a body that is not there': {
    by: alter(layout.bases, undefined, state({ bodies: [[9999, 100]] })),
    finds: ['bases_wrong'],
  },
  'an entry and a mark of a body that is not there': {
    by: (level) => moveBase(level, 9999),
    finds: ['bases_wrong', 'counters_wrong'],
  },
  'an entry and a mark of a body that is a leaf': {
    by: async (level) => moveBase(level, await seqOf(level, 'was')),
    finds: ['bases_wrong', 'counters_wrong'],
  },
  'the marks of such bodies that are gone': {
    by: drop(layout.baseMarks),
    finds: ['bases_wrong', 'counters_wrong'],
  },
  'marks of such bodies that cannot be read': {
    by: alter(layout.baseMarks, undefined, (text) => text.slice(2)),
    finds: ['bases_wrong', 'counters_wrong'],
  },
  'marks of such bodies with something behind them': {
    by: alter(layout.baseMarks, undefined, (text) => `${text}zz`),
    finds: ['bases_wrong', 'counters_wrong'],
  },
  'marks where nobody looks for them': {
    by: add(layout.baseMarks, layout.seqKey(1_000_001), marksOf(0)[1]),
    finds: ['bases_wrong'],
  },
  'counters of such bodies that are no JSON': {
    by: alter(meta, 'bases', garbage),
    finds: ['bases_wrong'],
  },
  'other counters of the journal': {
    by: alter(meta, 'journal', state({ bytes: 9 })),
    finds: ['journal_index'],
  },
  'counters that are gone': { by: drop(meta, 'state'), finds: ['counters_missing'], start: true },
  'counters that are no JSON': {
    by: alter(meta, 'state', garbage),
    finds: ['counters_missing'],
    start: true,
  },
  'another number of documents': {
    by: alter(meta, 'state', state({ docCount: 99 })),
    finds: ['counters_wrong'],
  },
  'another number of attachments in chunks': {
    by: alter(meta, 'state', state({ chunked: 9 })),
    finds: ['counters_wrong'],
  },
  ...Object.fromEntries(
    [
      'bodyBytes',
      'attachmentBytes',
      'metadataBytes',
      'activeBytes',
      'externalBytes',
      'conflicts',
      'notedConflicts',
    ].map((name) => [
      `another number of ${name}`,
      { by: alter(meta, 'state', state({ [name]: 9 })), finds: ['counters_wrong'] },
    ]),
  ),
  'an account of what waits that is no JSON': {
    by: alter(meta, 'unsent', garbage),
    finds: ['unsent_damaged'],
  },
  'another number of rows that wait': {
    by: alter(meta, 'unsent', state({ count: 9 })),
    finds: ['unsent_damaged'],
  },
  'a row that waits and is gone': { by: drop(unsent), finds: ['unsent_damaged'] },
  'a row that waits since nobody knows when': {
    by: alter(unsent, undefined, () => 'x'),
    finds: ['unsent_damaged'],
  },
  'a row that waits and is none': { by: add(unsent, layout.seqKey(9000), '1'), finds: ['unsent_damaged'] },
  'rows that wait for nothing': { by: drop(meta, 'unsent'), finds: ['unsent_left'], left: ['unsent_left'] },
  'a last sequence that is too low': {
    by: alter(meta, 'state', state({ updateSeq: 2 })),
    finds: ['counters_wrong'],
    start: true,
  },
  'no last sequence for PouchDB': {
    by: drop(layout.pouchMeta, layout.POUCH_UPDATE_SEQ),
    finds: ['pouchdb_counters'],
    start: true,
  },
  'another number of documents for PouchDB': {
    by: alter(layout.pouchMeta, layout.POUCH_DOC_COUNT, () => '99'),
    finds: ['pouchdb_counters'],
  },
  'no names of sequences': { by: drop(meta, 'epochs'), finds: ['epochs_damaged'], start: true },
  'names of sequences that are no JSON': {
    by: alter(meta, 'epochs', garbage),
    finds: ['epochs_damaged'],
    start: true,
  },
  'no name of the copy': { by: drop(meta, 'copy'), finds: ['copy_damaged'], start: true },
  'a security object that is no JSON': { by: alter(meta, 'security', garbage), finds: ['settings_damaged'] },
  'a limit that is none': { by: alter(meta, 'revs_limit', () => 'x'), finds: ['settings_damaged'] },
  'a mark of partitions that is none': { by: add(meta, 'partitioned', 'no'), finds: ['settings_damaged'] },
  'a purge that is gone': {
    by: drop(layout.purges, layout.seqKey(2)),
    finds: ['purge_damaged'],
    left: ['purge_damaged'],
  },
  'a purge that is no JSON': {
    by: alter(layout.purges, undefined, garbage),
    finds: ['purge_damaged'],
    left: ['purge_damaged'],
  },
  'something unknown': {
    by: (level) => level.put('\xffother\xffkey', 'x'),
    finds: ['unknown_part'],
    left: ['unknown_part'],
  },
  'histories longer than the limit': {
    by: alter(meta, 'revs_limit', () => '2'),
    finds: ['stemming_due'],
    left: ['stemming_due'],
  },
};
