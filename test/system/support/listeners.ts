import { connect, type Socket } from 'node:net';
import { inParallel, until } from './wait.js';

/** A feed over a socket of its own, with everything that came over it. */
export class Listener {
  readonly #socket: Socket;
  #text = '';
  #ended = false;
  #lost: Error | undefined;

  private constructor(port: number, request: string) {
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.setEncoding('utf8');
    this.#socket.on('data', (text: string) => (this.#text += text));
    this.#socket.on('end', () => (this.#ended = true));
    this.#socket.on('error', (error) => (this.#lost = error));
    this.#socket.write(request);
  }

  /** Asks for a path; the connection is for this answer alone. */
  static open({ port, authorization }: { port: number; authorization: string }, path: string): Listener {
    const head = [
      `GET ${path} HTTP/1.1`,
      'Host: localhost',
      `Authorization: ${authorization}`,
      'Connection: close',
    ];
    return new Listener(port, `${head.join('\r\n')}\r\n\r\n`);
  }

  /** Everything so far, with the head and the marks of the chunks. */
  get text(): string {
    if (this.#lost) throw this.#lost;
    return this.#text;
  }

  /** The body so far without the marks of the chunks. */
  get body(): string {
    const [, chunked = ''] = /\r\n\r\n(.*)$/s.exec(this.text) ?? [];
    return chunked.replace(/(^|\r\n)[0-9a-f]+\r\n/g, '');
  }

  /** Whether the server has ended it, and ended it as a whole answer. */
  get complete(): boolean {
    return this.#ended && this.text.endsWith('0\r\n\r\n');
  }

  get over(): boolean {
    return this.#ended || this.#lost !== undefined;
  }

  /** Stops reading: what comes stays in the kernel's buffers until they are full. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Goes away without a word. */
  vanish(): void {
    this.#socket.resetAndDestroy();
  }
}

/** Opens many feeds and waits until all of them are being answered. */
export async function openListeners(
  server: { port: number; authorization: string },
  paths: readonly string[],
): Promise<Listener[]> {
  const listeners = await inParallel(paths, 50, async (path) => {
    const listener = Listener.open(server, path);
    await until(`the feed ${path} begins`, () => listener.text.startsWith('HTTP/1.1 200'));
    return listener;
  });
  return listeners;
}
