import type { Config } from '../config/schema.js';
import { tombstonesLast } from '../conflicts/sending.js';
import type { Logger } from '../observe/log.js';
import type { TaskFields, Tasks } from '../observe/tasks.js';
import type { RevisionText } from '../replication/peer.js';
import type {
  Refusal,
  Replication,
  ReplicationListener,
  ReplicationResult,
} from '../replication/replication.js';
import type { RejectionList } from '../rejections/list.js';
import type { Rejections } from '../rejections/rejections.js';
import { noteRefused, noteWritten } from '../replication/rejected.js';
import { startReplication } from '../replication/run.js';
import type { JobSpec, Run } from './jobs.js';
import type { Peers } from './peers.js';
import { aboutOf, listOf } from './rejected.js';
import { liveStatistics } from './shown.js';

export interface RunServices {
  readonly peers: Peers;
  readonly tasks: Tasks;
  readonly rejections: Rejections;
  /** Read at each use: it may change. */
  readonly config: Pick<Config, 'replication'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/** Runs a replication, seen in `_active_tasks` meanwhile. */
export function run(spec: JobSpec, services: RunServices): Run {
  const { peers, tasks, rejections } = services;
  let replication: Replication | undefined;
  const stopping = new AbortController();
  let updated = Math.floor(Date.now() / 1000);
  const task = tasks.begin(taskOf(spec), () => ({
    ...(replication && liveStatistics(replication.progress)),
    updated_on: updated,
  }));

  const work = async (list: RejectionList): Promise<ReplicationResult> => {
    const opened = await peers.open(spec.request, spec, stopping.signal);
    try {
      const { source, target } = opened;
      const { options, tuning } = spec.request;
      const listener = {
        ...listenerFor(spec, list, services),
        onProgress: () => {
          updated = Math.floor(Date.now() / 1000);
        },
      };
      const order = tombstonesLast;
      replication = startReplication({ id: spec.id.base, source, target, options, order, tuning, listener });
      if (stopping.signal.aborted) await replication.cancel();
      return await replication.done;
    } finally {
      await opened.close();
    }
  };
  const done = rejections.use(listOf(spec), work).finally(() => task.end());
  return {
    pid: task.pid,
    get progress() {
      return replication?.progress;
    },
    done,
    stop: async () => {
      stopping.abort();
      await replication?.cancel();
      await done.catch(() => undefined);
    },
  };
}

/** Keeps account of what the target refuses, and of what it takes after all. */
export function listenerFor(
  spec: JobSpec,
  list: RejectionList,
  { config, log }: Pick<RunServices, 'config' | 'log'>,
): ReplicationListener {
  return {
    onRefused: async (refusal: Refusal) => {
      const { id, rev, error } = refusal;
      const { error: kind, reason } = error;
      log.warn(
        { replication: spec.id.full, target: spec.request.target.url, doc: id, rev, error: kind, reason },
        'a document was refused by the target of a replication',
      );
      await noteRefused(list, refusal, aboutOf(spec), config.replication.maxRejections);
    },
    onWritten: (documents: readonly RevisionText[]) => noteWritten(list, documents),
    onRetry: (error: Error) => {
      log.info(
        { replication: spec.id.full, reason: error.message },
        'a request of a replication is repeated',
      );
    },
  };
}

function taskOf({ id, request, document, user }: JobSpec): TaskFields {
  return {
    type: 'replication',
    user,
    replication_id: id.full,
    database: document?.database ?? null,
    doc_id: document?.id ?? null,
    source: request.source.url,
    target: request.target.url,
    continuous: request.options.continuous ?? false,
    checkpoint_interval: request.tuning.checkpointInterval ?? null,
  };
}
