/**
 * The state of the connection to the upstream as a pure state machine: whoever sends requests tells it what came of them.
 *
 * |                | answered     | proven | failed       | lost    | refused      | changed    |
 * | -------------- | ------------ | ------ | ------------ | ------- | ------------ | ---------- |
 * | `connecting`   | connecting   | online | connecting   | offline | unauthorised | connecting |
 * | `online`       | online       | online | degraded     | offline | unauthorised | connecting |
 * | `degraded`     | degraded     | online | degraded     | offline | unauthorised | connecting |
 * | `offline`      | connecting   | online | offline      | offline | unauthorised | connecting |
 * | `unauthorised` | unauthorised | online | unauthorised | offline | unauthorised | connecting |
 *
 * Only a probe proves that everything is as it should be: what answers a request may be no CouchDB.
 */
export type LinkState =
  /** Nothing is known yet, or it looks as if the upstream were back. */
  | 'connecting'
  | 'online'
  /** It is there, but some requests fail. */
  | 'degraded'
  /** It cannot be reached, or is not what it should be. */
  | 'offline'
  /** It is there, but does not let in the account of the gateway. */
  | 'unauthorised';

export type LinkEvent =
  /** A request was answered, whatever the answer. */
  | { readonly type: 'answered' }
  /** A probe found everything right, and no request failed for a while. */
  | { readonly type: 'proven' }
  /** A request had no answer though there was a connection, or one of a proxy that had none. */
  | { readonly type: 'failed'; readonly reason: string }
  /** There is no connection, or a probe found something else than a CouchDB. */
  | { readonly type: 'lost'; readonly reason: string }
  /** The account is not let in. */
  | { readonly type: 'refused'; readonly reason: string }
  /** Another upstream is to be used, or another account. */
  | { readonly type: 'changed' };

export interface Link {
  readonly state: LinkState;
  /** How often it was lost, or refused, since it was last online. */
  readonly failures: number;
  /** Why it is not online. */
  readonly reason: string | undefined;
}

export const NEW_LINK: Link = { state: 'connecting', failures: 0, reason: undefined };

type Handler<Type extends LinkEvent['type']> = (
  link: Link,
  event: Extract<LinkEvent, { type: Type }>,
) => Link;
type Row = { readonly [Type in LinkEvent['type']]: Handler<Type> };

const stay = (link: Link): Link => link;
const prove = (): Link => ({ state: 'online', failures: 0, reason: undefined });
const degrade = (link: Link, { reason }: { readonly reason: string }): Link => ({
  ...link,
  state: 'degraded',
  reason,
});
const lose =
  (state: LinkState) =>
  (link: Link, { reason }: { readonly reason: string }): Link => ({
    state,
    failures: link.failures + 1,
    reason,
  });
const again = (): Link => NEW_LINK;

/** What leads to the same state from everywhere. */
const ALWAYS = {
  proven: prove,
  lost: lose('offline'),
  refused: lose('unauthorised'),
  changed: again,
} as const;

/** What the table above says. */
const TABLE: Readonly<Record<LinkState, Row>> = {
  connecting: { ...ALWAYS, answered: stay, failed: stay },
  online: { ...ALWAYS, answered: stay, failed: degrade },
  degraded: { ...ALWAYS, answered: stay, failed: degrade },
  // What it failed for stays known: it may turn out to be no CouchDB.
  offline: { ...ALWAYS, answered: (link) => ({ ...link, state: 'connecting' }), failed: stay },
  unauthorised: { ...ALWAYS, answered: stay, failed: stay },
};

/** @returns the same link where the event means nothing to it */
export function step(link: Link, event: LinkEvent): Link {
  const handler = TABLE[link.state][event.type] as (link: Link, event: LinkEvent) => Link;
  return handler(link, event);
}
