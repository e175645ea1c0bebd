import type { Connection } from './connection.js';
import type { LinkState } from './link.js';
import type { Monitor } from './monitor.js';
import type { Identity } from './probe.js';

/** What is shown of the upstream. */
export interface UpstreamStatus {
  readonly url: string;
  /** Of the gateway there. */
  readonly account: string | null;
  readonly state: LinkState;
  /** When it came to be so. */
  readonly since: string;
  /** Why it is not online. */
  readonly reason: string | null;
  /** How often it was lost since it was last online. */
  readonly failures: number;
  /** Seconds. */
  readonly next_probe_in: number | null;
  readonly last_error: { readonly at: string; readonly reason: string } | null;
  /** What it said of itself last. */
  readonly server: Identity | null;
  readonly counters: Readonly<Record<string, number>>;
}

/** What went wrong last. */
export interface Failure {
  readonly at: Date;
  readonly reason: string;
}

/** What becomes of the connection. */
interface Course {
  readonly monitor: Monitor;
  /** When its state came to be so. */
  readonly since: Date;
  readonly lastError: Failure | undefined;
  readonly identity: Identity | undefined;
  readonly counters: Readonly<Record<string, number>>;
}

export function statusOf(
  { target, running, feeds }: Connection,
  { monitor, since, lastError, identity, counters }: Course,
): UpstreamStatus {
  const { link, nextProbe } = monitor;
  return {
    url: target.url,
    account: target.username ?? null,
    state: link.state,
    since: since.toISOString(),
    reason: link.reason ?? null,
    failures: link.failures,
    next_probe_in: nextProbe === undefined ? null : Math.ceil(nextProbe / 1000),
    last_error: lastError === undefined ? null : { ...lastError, at: lastError.at.toISOString() },
    server: identity ?? null,
    counters: { ...counters, running, feeds },
  };
}
