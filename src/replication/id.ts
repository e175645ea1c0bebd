import { createHash, type Hash } from 'node:crypto';
import { sortingDistinct } from '../json/sort.js';
import { atOnce, type Work } from '../json/turns.js';
import type { ReplicationOptions } from './options.js';
import type { JsonObject } from './peer.js';

/** The version of the rules that make ids, as checkpoints name it. */
export const REPLICATION_ID_VERSION = 4;

/** A side of a replication, as far as it tells replications apart. */
export interface EndpointIdentity {
  /** As `Peer.name`. */
  readonly name: string;
  /** Whose eyes see it: what two users may read and write differs. */
  readonly user: string | null;
  /** Headers that are sent along, but for those that hold credentials. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ReplicationIdentity {
  /** Of this server: others that replicate the same have checkpoints of their own. */
  readonly serverUuid: string;
  readonly source: EndpointIdentity;
  readonly target: EndpointIdentity;
  readonly options: ReplicationOptions;
  /** The text of the filter function, where one is used: another function sees other documents. */
  readonly filterCode?: string;
}

export interface ReplicationId {
  /** 32 hexadecimal digits: its checkpoints are `_local/BASE`. */
  readonly base: string;
  /** With what does not change which documents are replicated, such as `+continuous`. */
  readonly full: string;
}

/** The same replication has the same id at every start, and what sees other documents has another. */
export const replicationId = (identity: ReplicationIdentity): ReplicationId => atOnce(identifying(identity));

/** Does the same bit by bit, for replications of many named documents. */
export function* identifying(identity: ReplicationIdentity): Work<ReplicationId> {
  const { serverUuid, source, target, options, filterCode } = identity;
  const { docIds, selector, filter, queryParams, sinceSeq, winningRevsOnly = false } = options;
  const hash = createHash('md5');
  hash.update(`${JSON.stringify([serverUuid, endpoint(source), endpoint(target)]).slice(0, -1)},`);
  if (docIds === undefined) hash.update('null');
  else yield* hashTexts(hash, yield* sortingDistinct(docIds));
  const rest = [
    selector === undefined ? null : inOrder(JSON.parse(selector)),
    filter ?? null,
    filterCode ?? null,
    filter === undefined ? null : inOrder(queryParams ?? {}),
    sinceSeq ?? null,
    winningRevsOnly,
  ];
  // The text is that of one array, which checkpoints have been found by ever since.
  const base = hash.update(`,${JSON.stringify(rest).slice(1)}`).digest('hex');
  const suffix = (options.continuous ? '+continuous' : '') + (options.createTarget ? '+create_target' : '');
  return { base, full: base + suffix };
}

/** Texts that are hashed before others may have a turn. */
const AT_A_STRETCH = 500;

/** Adds the JSON text of an array. */
function* hashTexts(hash: Hash, texts: readonly string[]): Work<void> {
  hash.update('[');
  for (let at = 0; at < texts.length; at += AT_A_STRETCH) {
    const piece = JSON.stringify(texts.slice(at, at + AT_A_STRETCH)).slice(1, -1);
    hash.update(at === 0 ? piece : `,${piece}`);
    yield;
  }
  hash.update(']');
}

const endpoint = ({ name, user, headers = {} }: EndpointIdentity): unknown[] => [
  name,
  user,
  Object.entries(headers)
    .map(([header, value]) => [header.toLowerCase(), value])
    .sort(),
];

/** The same value whatever the order of its members. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value as JsonObject).sort(([a], [b]) => (a < b ? -1 : 1));
  return members.map(([name, member]) => [name, inOrder(member)]);
}
