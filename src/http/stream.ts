import { depart } from './departures.js';
import type { Exchange } from './exchange.js';
import { Outflow } from './outflow.js';

/** How much of a listing is put together before it is sent. */
export const CHUNK_SIZE = 65_536;

export interface StreamOptions {
  readonly status?: number;
  readonly type?: string;
  /** Bytes, where it is known how many there will be. */
  readonly length?: number;
  /** Names and values of further headers. */
  readonly headers?: readonly string[];
  /** A feed that may wait for news: its headers are sent at once, because the first chunk may be long in coming. */
  readonly live?: boolean;
}

/**
 * Sends an answer of any length as fast as the client takes it. Nothing is sent before the first chunk is there,
 * so that an error until then is answered as one; an error after that ends the connection. When the client goes away
 * the source is told to stop, and its `return` is called.
 */
export async function sendStream(
  exchange: Exchange,
  source: (signal: AbortSignal) => AsyncIterable<string | Buffer> | Iterable<string | Buffer>,
  { status = 200, type = 'application/json', length, headers = [], live = false }: StreamOptions = {},
): Promise<void> {
  const { response, server } = exchange;
  const own = length === undefined ? [] : ['Content-Length', String(length)];
  const canWait = !live && length === undefined;
  const packing = canWait ? server.compression.offer(exchange.request, status, type) : undefined;
  const begin = (): void =>
    exchange.begin(status, ['Content-Type', type, ...own], packing?.headers(headers) ?? headers);
  if (exchange.request.method === 'HEAD') {
    begin();
    response.end();
    return;
  }
  if (live) server.feeds.enter(exchange);
  const signal = server.track(exchange);
  const outflow = new Outflow(response, server.patience);
  let hasBegun = false;
  if (live) {
    exchange.forgetBody();
    begin();
    // What there is already goes out together with the headers.
    depart(() => {
      if (!hasBegun && !response.destroyed && !response.writableEnded) response.flushHeaders();
    });
  }
  const chunks = packing?.pack(source(signal), () => response.destroyed) ?? source(signal);
  for await (const chunk of chunks) {
    if (!response.headersSent && !response.destroyed) begin();
    hasBegun ||= chunk.length > 0;
    const room = outflow.write(chunk);
    if (room !== undefined) await room;
    if (response.destroyed) return;
  }
  if (response.destroyed) return;
  if (!response.headersSent) begin();
  outflow.end();
}
