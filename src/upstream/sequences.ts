/** A sequence as this server and others of its kind give it out. */
const OURS = /^"?[0-9]{1,15}-[0-9a-f]{12}"?$/;

/** Feeds that wait for changes. */
const LIVE = new Set(['continuous', 'live', 'longpoll', 'eventsource']);

/** What is asked of a feed of changes in the query of a URL. */
export interface FeedRequest {
  /** As the upstream gets it, without `?`. */
  readonly query: string;
  readonly isLive: boolean;
}

/**
 * Reads the query of `_changes`. A sequence that this server gave out means nothing to a CouchDB, which might take its number
 * for one of its own: it counts as 0, so that nothing is passed over.
 * @param isForeign whether the upstream knows no sequences of this form
 */
export function feedRequest(query: string, isForeign: boolean): FeedRequest {
  let isLive = false;
  const parts = query.split('&').map((part) => {
    const equals = part.indexOf('=');
    const [name, value] = [decoded(part.slice(0, equals)).toLowerCase(), decoded(part.slice(equals + 1))];
    if (name === 'feed') isLive = LIVE.has(value);
    if (name !== 'since' && name !== 'last-event-id') return part;
    return `${part.slice(0, equals)}=${isForeign && isOurs(value) ? '0' : part.slice(equals + 1)}`;
  });
  return { query: parts.join('&'), isLive };
}

export const isOurs = (sequence: string): boolean => OURS.test(sequence);

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}
