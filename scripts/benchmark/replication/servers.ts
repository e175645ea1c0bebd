import type { Peer } from '../../../src/replication/peer.js';
import { startReplication } from '../../../src/replication/run.js';
import type { Server } from './server.js';
import type { Way } from './way.js';

/** Where documents lie, and where they come to; the far ones are the same servers, behind a long line. */
export interface Places {
  readonly near: Server;
  readonly far: Server;
  readonly distantNear: Server;
  readonly distantFar: Server;
  readonly local: (name: string) => Peer;
}

/** Replications between Causeways: by the engine in this process, and by the servers themselves. */
export function waysBetweenServers({ near, far, distantNear, distantFar, local }: Places): readonly Way[] {
  return [
    engine('server to here', near.peer('source'), (round) => local(`pulled${round}`)),
    engine('here to server', local('source'), (round) => far.peer(`pushed${round}`)),
    engine('server to server', near.peer('source'), (round) => far.peer(`passed${round}`)),
    {
      name: 'pulled by the target',
      run: (round) => far.replicate(near.urlOf('source'), `fetched${round}`),
    },
    {
      name: 'pushed by the source',
      run: (round) => near.replicate('source', far.urlOf(`sent${round}`)),
    },
    {
      ...engine('far server to far server', distantNear.peer('source'), (round) =>
        distantFar.peer(`distant${round}`),
      ),
      beside: 'server to server',
    },
  ];
}

/** A replication by the engine in this process. */
export const engine = (name: string, source: Peer, target: (round: number) => Peer): Way => ({
  name,
  run: async (round) => {
    const options = { createTarget: true };
    await startReplication({ id: name, source, target: target(round), options }).done;
  },
});
