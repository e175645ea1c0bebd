import type { Database } from '../../store/types/database.js';

/** What GET of a database answers, as JSON. */
export async function databaseInfo(db: Database): Promise<string> {
  const info = await db.info();
  return JSON.stringify({
    instance_start_time: info.instanceStartTime,
    db_name: db.name,
    purge_seq: db.token(info.purgeSeq),
    update_seq: db.token(info.updateSeq),
    sizes: info.sizes,
    props: db.isPartitioned ? { partitioned: true } : {},
    doc_del_count: info.deletedCount,
    doc_count: info.docCount,
    disk_format_version: 8,
    compact_running: info.compactRunning,
    cluster: { q: 1, n: 1, w: 1, r: 1 },
  });
}
