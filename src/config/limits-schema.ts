import { z } from 'zod';
import { bytes, count, milliseconds, MiB } from './numbers.js';

/**
 * What clients may take of the server. Those of CouchDB have its names; where such a name says too little, that of its
 * section stands before it.
 */
export const limits = z.strictObject({
  maxDocumentSize: bytes(8_000_000).describe('Bytes of JSON that one document may have.'),
  maxDocumentIdLength: z.int().min(1).optional().describe('Bytes that the id of a document may have.'),
  maxAttachmentSize: bytes(1024 * MiB).describe('Bytes that one attachment may have.'),
  maxHttpRequestSize: bytes(64 * MiB).describe(
    'Bytes that the body of one request may have, attachments that are sent as they are aside.',
  ),
  maxUriLength: bytes(64 * 1024).describe('Bytes that the URL of a request may have.'),
  maxHeaderSize: bytes(80 * 1024, 1024).describe(
    'Bytes that the line and the headers of a request may have together.',
  ),
  maxBodyMemory: bytes(128 * MiB, MiB).describe(
    'Bytes that the bodies of all requests together may have in memory; where it is used up, large ones wait.',
  ),
  maxDbsOpen: count(500).describe('How many databases are kept open at once; idle ones are closed first.'),
  maxDbNumberForDbsInfoReq: count(100).describe('The most databases that one `_dbs_info` may ask for.'),
  uuidsMaxCount: count(1000).describe('The most that `_uuids` makes at once.'),
  purgeMaxDocumentIdNumber: count(100).describe('The most documents that one `_purge` may name.'),
  purgeMaxRevisionsNumber: count(1000).describe('The most revisions that one `_purge` may name.'),
  changesDocIdsOptimizationThreshold: count(1000).describe(
    'Up to so many `doc_ids` of a changes feed are looked up one by one; for more the whole feed is read.',
  ),
  changesTimeout: milliseconds(60_000).describe(
    'The longest wait of a changes feed for a change, in milliseconds.',
  ),
  changesHeartbeat: milliseconds(60_000).describe(
    'The beat of a changes feed that asks for a heartbeat without saying how often, in milliseconds.',
  ),
  maxFeeds: count(12_000).describe('How many feeds may wait for changes at once.'),
  maxFeedsPerClient: count(10_000).describe(
    'How many of them may belong to one user, or to one address where nobody is logged in.',
  ),
  maxConnections: count(16_000).describe(
    'How many connections may be open at once; fewer, where the process may not open so many files.',
  ),
  maxConnectionsPerAddress: count(12_000).describe(
    'How many of them may come from one address; a proxy in front is one, too.',
  ),
  headersTimeout: milliseconds(60_000).describe(
    'The time within which the headers of a request have to be there, in milliseconds.',
  ),
  keepAliveTimeout: milliseconds(72_000).describe(
    'The time for which a connection is kept for its next request, in milliseconds.',
  ),
  progressTimeout: milliseconds(60_000).describe(
    'The time within which a client has to go on sending a body or taking an answer, in milliseconds.',
  ),
  minTransferRate: z
    .int()
    .min(0)
    .default(500)
    .describe('Bytes a second that it has to send or take on average meanwhile.'),
});
