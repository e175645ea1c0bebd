import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { startGateway } from '../support/server.js';

test('requests that are sent ahead are answered in their order, whatever method they override', async () => {
  const gateway = await startGateway();
  const { hostname, port } = new URL(gateway.url);
  const socket = connect(Number(port), hostname);
  try {
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    const head = `Host: a\r\nAuthorization: ${gateway.authorization}\r\n`;
    const override = `POST /_up HTTP/1.1\r\n${head}X-HTTP-Method-Override: HEAD\r\nContent-Length: 0\r\n\r\n`;
    const ahead = Array.from({ length: 50 }, (_, n) => `GET /missing${String(n)} HTTP/1.1\r\n${head}\r\n`);
    socket.write(override + ahead.join('') + `GET /_up HTTP/1.1\r\n${head}Connection: close\r\n\r\n`);
    await new Promise((resolve) => socket.on('close', resolve));
    const answers = text.split(/(?=HTTP\/1\.1 \d{3} )/);
    expect(answers.map((answer) => answer.slice(9, 12))).toEqual(['200', ...ahead.map(() => '404'), '200']);
    for (const answer of answers) {
      const [headers = '', body = ''] = answer.split('\r\n\r\n');
      expect(Buffer.byteLength(body)).toBe(Number(/content-length: (\d+)/i.exec(headers)?.[1]));
    }
  } finally {
    socket.destroy();
    await gateway.stop();
  }
});

test('what is no request is refused behind the answer to the request before it', async () => {
  const gateway = await startGateway();
  const { hostname, port } = new URL(gateway.url);
  const socket = connect(Number(port), hostname);
  try {
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.write('GET /_up HTTP/1.1\r\nHost: a\r\n\r\nGARBAGE\r\n\r\n');
    await new Promise((resolve) => socket.on('close', resolve));
    expect(text.match(/HTTP\/1\.1 \d{3} /g)).toEqual(['HTTP/1.1 200 ', 'HTTP/1.1 405 ']);
  } finally {
    socket.destroy();
    await gateway.stop();
  }
});
