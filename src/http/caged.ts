import type { FunctionAnswer } from '../design/function-answer.js';
import type { Exchange } from './exchange.js';
import { sendStream } from './stream.js';

/** What a page could do in the name of its reader if that what others wrote were taken for one. */
export const CAGE = ['Content-Security-Policy', 'sandbox', 'X-Content-Type-Options', 'nosniff'] as const;

/** Sends what a function of a design document answers. @param own headers of the server, names and values in turn */
export async function sendAnswer(
  exchange: Exchange,
  status: number,
  { type, headers, body }: Omit<FunctionAnswer, 'status'>,
  own: readonly string[],
): Promise<void> {
  const all = [...own, ...headers, ...CAGE];
  if (status === 204 || status === 304) exchange.empty(status, all);
  else await sendStream(exchange, () => [body], { status, type, length: body.length, headers: all });
}
