import { badRequest, queryParseError } from '../errors.js';
import type { Exchange } from './exchange.js';
import { integer } from './query.js';

/** Rows of a page where nobody says how many, and at most. */
const LIMIT = 100;
const MOST = 1000;

/** Which part of a list is asked for. @throws CouchError 400 */
export function pageOf(exchange: Exchange): { readonly start: number; readonly limit: number } {
  return { start: count(exchange, 'start', 0), limit: limitOf(exchange) };
}

/** How many rows are asked for. @throws CouchError 400 */
export const limitOf = (exchange: Exchange): number => Math.min(count(exchange, 'limit', LIMIT), MOST);

/** In which state they are to be; undefined where all are asked for. @throws CouchError 400 */
export function stateOf<State extends string>(
  exchange: Exchange,
  states: readonly State[],
): State | undefined {
  const text = exchange.parameter('state');
  const state = states.find((one) => one === text);
  if (state === undefined && text !== undefined)
    throw badRequest(`state must be one of ${states.join(', ')}`);
  return state;
}

/** A parameter that is a number from 0 on. @throws CouchError 400 */
export function count(exchange: Exchange, name: string, absent: number): number {
  const text = exchange.parameter(name);
  const value = text === undefined ? absent : integer(text);
  if (value === undefined || value < 0) throw queryParseError(`\`${name}\` must be a whole number.`);
  return value;
}
