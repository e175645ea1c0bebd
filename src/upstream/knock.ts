import net from 'node:net';

/**
 * Whether a server takes connections: makes one, sends nothing, and closes it at once. Never fails.
 * @param url says where it is; of HTTPS no more is tried than TCP
 * @param timeout milliseconds in which the connection has to be there. The look-up of the name is not counted: nothing ends
 * one, and those that were given up would take the threads that files are read and written by.
 */
export function knock(url: string, timeout: number, signal: AbortSignal): Promise<boolean> {
  const { protocol, hostname, port } = new URL(url);
  const usual = protocol === 'https:' ? 443 : 80;
  return new Promise((resolve) => {
    const socket = net.connect({
      // URLs have brackets around addresses of IPv6.
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? usual : Number(port),
    });
    // Node's own option leaves a listener behind for each connection, and one signal has many of them.
    const stop = (): void => void socket.destroy();
    signal.addEventListener('abort', stop);
    socket.once('connectionAttempt', () => socket.setTimeout(timeout, () => socket.destroy()));
    socket.once('connect', () => {
      resolve(true);
      socket.destroy();
    });
    // What went wrong is for probes to say.
    socket.on('error', () => undefined);
    socket.once('close', () => {
      signal.removeEventListener('abort', stop);
      resolve(false);
    });
    if (signal.aborted) stop();
  });
}
