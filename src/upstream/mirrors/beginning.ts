import { createUpstream, isPartitioned } from './control.js';
import { meet, type Meeting } from './instance.js';
import type { Session } from './session.js';
import { mayFlow } from './state.js';
import { surely } from '../surely.js';

/**
 * Sees whether the upstream database is the one that a mirror knows, and where it is not, has the mirror hear that.
 * @throws CouchError, PeerUnreachable
 */
export async function meetUpstream({ mirror, upstream, signal }: Session): Promise<void> {
  const { record, context } = mirror;
  if (record.toCreate !== undefined && !(await createUpstream(mirror, record.toCreate, signal))) {
    await mirror.hear({ type: 'differs', reason: 'A database of this name was made upstream meanwhile.' });
    return;
  }
  const { uuid } = context;
  const { keepsStartTimes } = context.upstream;
  const ask = (): Promise<Meeting> =>
    meet(upstream, { uuid, known: record.upstream, keepsStartTimes }, signal);
  const isNews = mayFlow(mirror.standing.state);
  const found = await (isNews ? surely(ask, ({ type }) => type !== 'met', signal) : ask());
  signal.throwIfAborted();
  if (found.type !== 'met') {
    // What is not warm has nothing of its own.
    if (!record.isWarm) await mirror.leave();
    else {
      await mirror.hear(found);
      mirror.doubt();
    }
    return;
  }
  if (record.isFound === true) {
    const reason = 'There was a database here already, and there is one upstream of the same name.';
    await mirror.hear({ type: 'differs', reason });
    return;
  }
  if (record.upstream !== found.upstream) await mirror.note({ upstream: found.upstream });
  await mirror.hear({ type: 'known' });
}

/**
 * Makes the database here where it is missing, and has it keep account of what the upstream has not got. One that was
 * put back from a copy may have anything that the upstream has not.
 * @throws CouchError
 */
export async function prepareLocal({ mirror, signal }: Session): Promise<void> {
  const { context, name, record } = mirror;
  const { databases } = context;
  if (!databases.exists(name))
    await databases.create(name, { partitioned: await isPartitioned(mirror, signal) });
  await databases.use(name, async (db) => {
    if (!db.unsent.isTracked) await db.trackUnsent(true);
    else if (record.local !== undefined && record.local !== db.instanceStartTime) await db.unsent.voidAll();
    if (record.local !== db.instanceStartTime) await mirror.note({ local: db.instanceStartTime });
  });
}
