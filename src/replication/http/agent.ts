import type { LookupFunction } from 'node:net';
import { Agent } from 'undici';

export interface AgentOptions {
  /** Connections to one server; 20, CouchDB's `http_connections`, when left out. */
  readonly connections?: number;
  /** Certificates that are trusted instead of those of the system, PEM. */
  readonly ca?: string | Buffer;
  /** Milliseconds; 10,000 when left out. */
  readonly connectTimeout?: number;
  /** Decides what a name may be resolved to. */
  readonly lookup?: LookupFunction;
}

/** Connections for HTTP peers: kept alive, limited for each server, certificates verified. Must be closed. */
export function newAgent({
  connections = 20,
  ca,
  connectTimeout = 10_000,
  lookup,
}: AgentOptions = {}): Agent {
  return new Agent({
    connections,
    pipelining: 1,
    keepAliveTimeout: 30_000,
    connect: {
      timeout: connectTimeout,
      rejectUnauthorized: true,
      ...(ca !== undefined && { ca }),
      ...(lookup !== undefined && { lookup }),
    },
  });
}
