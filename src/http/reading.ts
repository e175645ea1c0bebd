/** Paths of a database to which a POST only asks. */
const ASKED = new Set(
  [
    '_all_docs',
    '_all_docs/queries',
    '_bulk_get',
    '_changes',
    '_design_docs',
    '_design_docs/queries',
    '_explain',
    '_find',
    '_local_docs',
    '_local_docs/queries',
    '_missing_revs',
    '_revs_diff',
    '_ensure_full_commit',
  ].map((name) => `/:db/${name}`),
);

/** What views and partitions answer. */
const VIEW = /^\/:db\/(_design\/:name\/_view\/|_partition\/)/;

/** What of a database can be changed that is no document that others get to know of. */
const KEPT = /^\/:db\/_(local\/|security$|revs_limit$|purged_infos_limit$|purge$|compact|view_cleanup$)/;

/** Whether a request changes documents that others get to know of. */
export const isWriting = (method: string, path: string): boolean =>
  !isReading(method, path) && !KEPT.test(path);

/** Whether a request leaves the documents of a database as they are. */
export function isReading(method: string, path: string): boolean {
  if (method === 'GET' || method === 'HEAD' || method === 'OPTIONS') return true;
  return method === 'POST' && (ASKED.has(path) || VIEW.test(path));
}
