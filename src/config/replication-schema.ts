import { z } from 'zod';
import { milliseconds } from './numbers.js';

/** An origin that replications may connect to: an address in it stands for itself, a name for what it is resolved to. */
const origin = z.string().regex(/^https?:\/\/(\[[0-9a-f:.]+\]|[^/\s?#@:[\]]+)(:[0-9]{1,5})?$/i);

/** The replicator, for the most part as CouchDB's section `replicator` has it. */
export const replication = z.strictObject({
  maxJobs: z
    .int()
    .min(0)
    .default(500)
    .describe('How many replications run at once; others wait for their turn (`max_jobs` of `replicator`).'),
  interval: milliseconds(60_000).describe(
    'The time after which those that wait get the places of others, in milliseconds (`interval`).',
  ),
  maxChurn: z.int().min(1).default(20).describe('How many places are given on each time (`max_churn`).'),
  maxTransientJobs: z
    .int()
    .min(0)
    .default(100)
    .describe(
      'How many replications one user may have begun by `_replicate`; more are answered 429. Server admins may begin any number.',
    ),
  maxRejections: z
    .int()
    .min(0)
    .max(100_000)
    .default(1000)
    .describe(
      'How many revisions that its target refused are kept of a replication, with the reasons; more are only counted.',
    ),
  maxHistory: z
    .int()
    .min(1)
    .max(1000)
    .default(20)
    .describe('How many events of a replication are remembered (`max_history`).'),
  healthThreshold: z
    .int()
    .min(1)
    .default(120)
    .describe(
      'Seconds that a replication has to run for earlier failures to count no more (`health_threshold`).',
    ),
  workerProcesses: z
    .int()
    .min(1)
    .max(32)
    .default(8)
    .describe(
      'Batches of one replication that are read at once, while as many are written (`worker_processes`; CouchDB has 4).',
    ),
  workerBatchSize: z
    .int()
    .min(1)
    .max(5000)
    .default(500)
    .describe('Documents of one batch (`worker_batch_size`).'),
  httpConnections: z
    .int()
    .min(1)
    .max(1000)
    .default(20)
    .describe('Connections of one replication to one server (`http_connections`).'),
  connectionTimeout: milliseconds(30_000).describe(
    'The silence after which a request of a replication is given up, in milliseconds (`connection_timeout`).',
  ),
  retriesPerRequest: z
    .int()
    .min(0)
    .max(100)
    .default(5)
    .describe('How often a request that failed is sent again (`retries_per_request`).'),
  checkpointInterval: milliseconds(30_000).describe(
    'The time between two checkpoints, in milliseconds (`checkpoint_interval`).',
  ),
  useCheckpoints: z
    .boolean()
    .default(true)
    .describe('Whether replications remember how far they came (`use_checkpoints`).'),
  useBulkGet: z
    .boolean()
    .default(true)
    .describe('Whether many documents are asked for at once (`use_bulk_get`).'),
  origins: z.array(origin).optional().meta({
    description:
      'The only servers that replications may connect to, whoever asks; if not set, server admins may name any, others this server alone. Link-local addresses, where clouds keep secrets, always have to be named here.',
    allowed: 'a list of origins such as https://couch.example.org:6984 (scheme, host, port; no path)',
  }),
  caFile: z
    .string()
    .min(1)
    .optional()
    .describe(
      'A file with the certificates (PEM) that are trusted instead of those of the system; certificates are always verified.',
    ),
});
