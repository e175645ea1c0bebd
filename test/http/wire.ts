import { once } from 'node:events';
import net from 'node:net';

export interface WireAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** A connection on which requests are written byte by byte, and answers read one after the other. */
export class Wire {
  readonly #socket: net.Socket;
  #received: Buffer = Buffer.alloc(0);
  #closed = false;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => (this.#received = Buffer.concat([this.#received, chunk])));
    socket.on('close', () => (this.#closed = true));
    // A server that has seen enough may close while we still send.
    socket.on('error', () => undefined);
  }

  /** @param localAddress from where */
  static async open(port: number, localAddress = '127.0.0.1'): Promise<Wire> {
    const socket = net.connect({ port, host: '127.0.0.1', localAddress });
    await once(socket, 'connect');
    return new Wire(socket);
  }

  /** Resolves when the kernel has taken the bytes, as a client that reads only after it has sent everything. */
  async send(bytes: string | Buffer): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#socket.write(bytes, () => resolve());
    });
  }

  #news(): Promise<void> {
    return new Promise((resolve) => {
      const settle = (): void => {
        this.#socket.off('data', settle).off('close', settle);
        resolve();
      };
      this.#socket.on('data', settle).on('close', settle);
    });
  }

  /** The next answer; it has to have a Content-Length, or no body. */
  async answer(): Promise<WireAnswer> {
    for (;;) {
      const end = this.#received.indexOf('\r\n\r\n');
      if (end >= 0) {
        const head = this.#received.toString('latin1', 0, end);
        const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
        const whole = end + 4 + length;
        if (this.#received.length >= whole) {
          const body = this.#received.toString('utf8', end + 4, whole);
          this.#received = this.#received.subarray(whole);
          return { status: Number(head.slice('HTTP/1.1 '.length).slice(0, 3)), head, body };
        }
      }
      if (this.#closed)
        throw new Error(`the connection was closed after ${this.#received.toString('latin1')}`);
      await this.#news();
    }
  }

  /** Whether the server, or we, closed it. */
  get closed(): boolean {
    return this.#closed;
  }

  /** What came and was not taken for an answer. */
  get rest(): string {
    return this.#received.toString('latin1');
  }

  /** Reads nothing any more. */
  pause(): this {
    this.#socket.pause();
    return this;
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Goes away without a word. */
  cut(): void {
    this.#socket.resetAndDestroy();
  }

  end(): void {
    this.#socket.end();
  }
}
