import assert from 'node:assert/strict';
import { sendBases, sendLeaves } from './conflicted.js';
import { couchAt } from './couch.js';
import { Restartable } from './restartable.js';

/** A way in which conflicted documents arrive at a server. */
export interface Arrival {
  readonly name: string;
  /** Makes a database in which the bases are, and where the leaves come from. */
  prepare(database: string): Promise<void>;
  /** Has the leaves arrive. */
  bring(database: string): Promise<void>;
  /** Removes what `prepare` made anywhere but in the server. */
  clear(database: string): Promise<void>;
  close(): Promise<void>;
}

/** A client sends them, as a replicator of its own would. */
export function pushed({ couch }: Restartable): Arrival {
  return {
    name: 'pushed by a client',
    prepare: async (database) => {
      await couch.put(`/${database}`);
      await sendBases(couch, database);
    },
    bring: (database) => sendLeaves(couch, database),
    clear: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

/** The server's own replicator gets them from another Causeway. */
export async function pulledFromCauseway(server: Restartable): Promise<Arrival> {
  const source = await Restartable.start();
  return pulled('pulled from another Causeway', server, source, () => source.remove());
}

/** The same from a CouchDB. @param address with the name and the password of an admin in it */
export function pulledFromCouchDb(server: Restartable, address: string): Arrival {
  const source = couchAt(address);
  return pulled('pulled from a CouchDB', server, source, () => source.couch.close());
}

function pulled(
  name: string,
  { couch }: Restartable,
  { url, auth, couch: source }: Pick<Restartable, 'url' | 'auth' | 'couch'>,
  close: () => Promise<void>,
): Arrival {
  const bring = async (database: string): Promise<void> => {
    const answer = await couch.post('/_replicate', {
      source: { url: `${url}/${database}`, auth: { basic: auth } },
      target: database,
    });
    const { ok, history } = answer as Replicated;
    assert(ok, JSON.stringify(answer));
    assert.equal(history?.[0]?.doc_write_failures, 0);
  };
  return {
    name,
    prepare: async (database) => {
      await couch.put(`/${database}`);
      await source.put(`/${database}`);
      await sendBases(source, database);
      await bring(database);
      await sendLeaves(source, database);
    },
    bring,
    clear: async (database) => {
      await source.request('DELETE', `/${database}`);
    },
    close,
  };
}

/** What `_replicate` answers. */
interface Replicated {
  readonly ok: boolean;
  readonly history?: readonly { readonly doc_write_failures: number }[];
}
