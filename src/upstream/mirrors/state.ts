/**
 * The state of a mirror as a pure state machine: whoever works on it tells it what happened.
 *
 * |                     | ran     | warmed  | failed  | paused  | resumed | known   | missing | replaced | differs | chosen  | emptied |
 * | ------------------- | ------- | ------- | ------- | ------- | ------- | ------- | ------- | -------- | ------- | ------- | ------- |
 * | `warming`           | warming | warm    | failing | paused  | warming | warming | missing | replaced | differs | warming | warming |
 * | `warm`              | warm    | warm    | failing | paused  | warm    | warm    | missing | replaced | differs | warm    | warming |
 * | `paused`            | paused  | paused  | paused  | paused  | *       | paused  | missing | replaced | differs | *       | paused  |
 * | `failing`           | *       | warm    | failing | paused  | *       | failing | missing | replaced | differs | *       | warming |
 * | `upstream-missing`  | missing | missing | missing | missing | missing | *       | missing | replaced | differs | *       | missing |
 * | `upstream-replaced` | replaced| replaced| replaced| replaced| replaced| *       | missing | replaced | differs | *       | replaced |
 * | `upstream-differs`  | differs | differs | differs | differs | differs | differs | missing | replaced | differs | *       | differs |
 *
 * `*` is `warm` or `warming`, as the mirror is; `missing` and the like stand for `upstream-missing` and so on. From
 * these, where nothing flows, a mirror is led by an admin's choice, and from the first two also when the upstream database
 * that it knows is there again.
 */
export type MirrorState =
  /** It has not caught up with the upstream yet: its requests are answered there. */
  | 'warming'
  | 'warm'
  /** Nothing flows until an admin says so. */
  | 'paused'
  /** What was tried last failed; it is tried again. */
  | 'failing'
  /** There is no such database upstream any more. */
  | 'upstream-missing'
  /** The upstream database is another one than it was. */
  | 'upstream-replaced'
  /** A database was here already, and one upstream, and they never had to do with each other. */
  | 'upstream-differs';

export type MirrorEvent =
  /** What was to flow did. */
  | { readonly type: 'ran' }
  /** It has everything that the upstream has. */
  | { readonly type: 'warmed' }
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'paused' }
  | { readonly type: 'resumed' }
  /** The upstream database is the one that it knows. */
  | { readonly type: 'known' }
  | { readonly type: 'missing'; readonly reason: string }
  | { readonly type: 'replaced'; readonly reason: string }
  | { readonly type: 'differs'; readonly reason: string }
  /** An admin said what is to become of it. */
  | { readonly type: 'chosen' }
  /** What it had is gone: it has to catch up anew. */
  | { readonly type: 'emptied' };

/** How a mirror is. */
export interface Standing {
  readonly state: MirrorState;
  /** Whether it caught up with the upstream: then it is served from here, whatever its state. */
  readonly isWarm: boolean;
  /** Why it is not simply warm or warming. */
  readonly reason: string | undefined;
}

export const NEW_MIRROR: Standing = { state: 'warming', isWarm: false, reason: undefined };

/** The states in which nothing flows until somebody decides. */
const STUCK = new Set<MirrorState>(['upstream-missing', 'upstream-replaced', 'upstream-differs']);

export const isStuck = (state: MirrorState): boolean => STUCK.has(state);

/** Whether anything may flow. */
export const mayFlow = (state: MirrorState): boolean => state !== 'paused' && !isStuck(state);

type Handler<Type extends MirrorEvent['type']> = (
  standing: Standing,
  event: Extract<MirrorEvent, { type: Type }>,
) => Standing;
type Row = { readonly [Type in MirrorEvent['type']]: Handler<Type> };

const stay = (standing: Standing): Standing => standing;
const rest = ({ isWarm }: Standing): Standing => ({
  state: isWarm ? 'warm' : 'warming',
  isWarm,
  reason: undefined,
});
const become =
  (state: MirrorState) =>
  (standing: Standing, { reason }: { readonly reason: string }): Standing => ({ ...standing, state, reason });
const pause = ({ isWarm }: Standing): Standing => ({ state: 'paused', isWarm, reason: undefined });
const warm = (): Standing => ({ state: 'warm', isWarm: true, reason: undefined });
const noteWarm = (standing: Standing): Standing => ({ ...standing, isWarm: true });
const empty = (): Standing => NEW_MIRROR;
const noteEmpty = (standing: Standing): Standing => ({ ...standing, isWarm: false });

/** What leads to the same state from everywhere. */
const ALWAYS = {
  missing: become('upstream-missing'),
  replaced: become('upstream-replaced'),
  differs: become('upstream-differs'),
  chosen: rest,
} as const;

const FLOWING: Row = {
  ...ALWAYS,
  ran: stay,
  warmed: warm,
  failed: become('failing'),
  paused: pause,
  resumed: stay,
  known: stay,
  emptied: empty,
};

/** Only a choice leads out of it. */
const HALTED: Row = {
  ...ALWAYS,
  ran: stay,
  warmed: noteWarm,
  failed: stay,
  paused: stay,
  resumed: stay,
  known: stay,
  emptied: noteEmpty,
};

/** What the table above says. */
const TABLE: Readonly<Record<MirrorState, Row>> = {
  warming: FLOWING,
  warm: FLOWING,
  failing: { ...FLOWING, ran: rest, resumed: rest },
  paused: { ...HALTED, resumed: rest },
  'upstream-missing': { ...HALTED, known: rest },
  'upstream-replaced': { ...HALTED, known: rest },
  'upstream-differs': HALTED,
};

export const MIRROR_STATES = Object.keys(TABLE) as readonly MirrorState[];

/** @returns the same standing where the event means nothing to it */
export function step(standing: Standing, event: MirrorEvent): Standing {
  const handler = TABLE[standing.state][event.type] as (standing: Standing, event: MirrorEvent) => Standing;
  return handler(standing, event);
}
