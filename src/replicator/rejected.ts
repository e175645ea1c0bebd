import type { ListInfo, ListKey } from '../rejections/rejection.js';
import type { JobSpec } from './jobs.js';

/**
 * The list of what the target of a replication refused. It goes with the checkpoints, which pass what is on it: so what
 * only runs in another way has the same.
 */
export const listOf = ({ id, as }: Pick<JobSpec, 'id' | 'as'>): ListKey => ({
  name: id.base,
  owner: as.name,
});

/** What the list says of it. */
export const aboutOf = ({ request, document }: JobSpec): ListInfo['about'] => ({
  source: request.source.url,
  target: request.target.url,
  ...(document !== undefined && { document }),
});
