import { z } from 'zod';
import { milliseconds } from './numbers.js';

const days = (value: number): z.ZodDefault<z.ZodNumber> => z.number().min(0).max(36_500).default(value);

/** Merging documents that are in conflict. */
export const conflicts = z.strictObject({
  timeout: milliseconds(1000).describe(
    'The time that a merge function may take for one document, in milliseconds; it stays in conflict then. Those of design documents have `functions.timeout`.',
  ),
  patience: milliseconds(600_000).describe(
    'How long a document in conflict waits for what replication may still bring, in milliseconds.',
  ),
  bases: z
    .strictObject({
      maxAge: days(30).describe(
        'Days for which a database whose conflicts are merged keeps older revisions through compactions: merges compare with them.',
      ),
      maxSize: z
        .int()
        .min(0)
        .default(256 * 1024 * 1024)
        .describe('Bytes of such revisions in one database above which the oldest go with a compaction.'),
    })
    .prefault({}),
  purgeResolvedAfter: z.number().min(0).max(36_500).optional().meta({
    description:
      'Days after a merge when what went in is purged, upstream too, which ends its undo; never when it is not given.',
    allowed: 'a number from journal.minAge to journal.maxAge: only the journal tells how old a merge is',
  }),
});

/** Whether the journal tells of a merge until it is so old, and it need not be undone by then. */
export const isPurgeable = (config: {
  readonly conflicts: z.infer<typeof conflicts>;
  readonly journal: z.infer<typeof journal>;
}): boolean => {
  const {
    conflicts: { purgeResolvedAfter: days },
    journal: { minAge, maxAge },
  } = config;
  return days === undefined || (days >= minAge && days <= maxAge);
};

/** What merges leave behind, so that they can be undone. */
export const journal = z.strictObject({
  minAge: days(30).describe(
    'Days for which a database keeps what went into each merge, however much that is.',
  ),
  maxAge: days(365).describe('Days after which it goes.'),
  maxSize: z
    .int()
    .min(0)
    .default(1024 * 1024 * 1024)
    .describe(
      'Bytes of one database above which what is older than `journal.minAge` goes, the oldest first. Each leaf counts whole, though of leaves that are alike only what differs is stored. Where nothing is, conflicts stay.',
    ),
});
