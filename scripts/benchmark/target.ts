import { Connection, type Endpoint, endpointOf, requestBytes } from './client.js';
import { listenerOf } from './processes.js';

/** A server that is measured. */
export class Target {
  private constructor(
    readonly name: string,
    readonly url: string,
    /** Its process, where that is one of this machine. */
    readonly pid: number | undefined,
    private readonly endpoint: Endpoint = endpointOf(url),
  ) {}

  static async at(name: string, url: string): Promise<Target> {
    const { port } = endpointOf(url);
    return new Target(name, url, await listenerOf(port));
  }

  /** The same server, which is told a session with each request instead of a password. */
  async inSession(): Promise<Target> {
    const { origin, username, password } = new URL(this.url);
    const form = new URLSearchParams({
      name: decodeURIComponent(username),
      password: decodeURIComponent(password),
    });
    const response = await fetch(`${origin}/_session`, { method: 'POST', body: form });
    const [cookie = ''] = response.headers.getSetCookie();
    if (!cookie.startsWith('AuthSession=')) throw new Error(`${this.name} begins no session`);
    const head = `Host: ${new URL(this.url).host}\r\nCookie: ${cookie.slice(0, cookie.indexOf(';'))}\r\n`;
    return new Target(this.name, this.url, this.pid, { ...this.endpoint, head });
  }

  request(method: string, path: string, json?: string): Buffer {
    return requestBytes(this.endpoint, method, path, json);
  }

  open(): Promise<Connection> {
    return Connection.open(this.endpoint);
  }

  /** Asks for something that is not measured. @returns the answer's body @throws where it is not one of success */
  async must(method: string, path: string, json?: string): Promise<string> {
    return this.ask(this.request(method, path, json));
  }

  async ask(request: Buffer): Promise<string> {
    const connection = await this.open();
    try {
      const { status, body } = await connection.send(request, true);
      const text = body.toString();
      if (status >= 300) throw new Error(`${this.name} answered ${String(status)}: ${text.slice(0, 500)}`);
      return text;
    } finally {
      connection.close();
    }
  }
}
