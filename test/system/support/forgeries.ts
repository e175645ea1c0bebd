import fc from 'fast-check';

/** What is true, and what is made of it must not be. */
export interface Genuine {
  /** Values of AuthSession cookies that count. */
  readonly cookies: readonly string[];
  /** Values that counted once: the password is another one since, or the user is gone. */
  readonly stale: readonly string[];
  /** `name:password` */
  readonly credentials: readonly string[];
}

/** Bytes of a request that is nobody's, with a probe by which one would see a right that it gained. */
export interface Forgery {
  readonly probe: Probe;
  readonly bytes: Buffer;
}

export type Probe = 'who' | 'list' | 'read' | 'write' | 'user' | 'config' | 'login';

const PROBES: Readonly<Record<Exclude<Probe, 'login'>, string>> = {
  who: 'GET /_session',
  list: 'GET /_all_dbs',
  read: 'GET /private/doc',
  write: 'PUT /forged',
  user: 'GET /_users/org.couchdb.user:ann',
  config: 'GET /_node/_local/_config/admins',
};

/** Requests with forged sessions, passwords and log-ins, and with headers that are none. */
export function forgeries(genuine: Genuine): fc.Arbitrary<Forgery> {
  const cookie = cookieHeader(genuine);
  const authorization = authorizationHeader(genuine);
  const header = fc.oneof(cookie, authorization);
  const probe = fc.constantFrom(...(Object.keys(PROBES) as (keyof typeof PROBES)[]));
  const headed = fc
    .tuple(probe, fc.array(header, { minLength: 1, maxLength: 2 }))
    .map(([name, headers]): Forgery => ({
      probe: name,
      bytes: requestOf(PROBES[name], headers, name === 'write' ? '{}' : ''),
    }));
  const login = fc.tuple(loginBody(genuine), fc.option(header)).map(([[type, body], extra]): Forgery => {
    const headers = [`Content-Type: ${type}`, ...(extra === null ? [] : [extra])];
    return { probe: 'login', bytes: requestOf('POST /_session', headers, body) };
  });
  return fc.oneof({ weight: 4, arbitrary: headed }, { weight: 1, arbitrary: login });
}

/** Headers are bytes: each character is one. */
function requestOf(line: string, headers: readonly string[], body: string): Buffer {
  const bytes = Buffer.from(body, 'latin1');
  const all = ['Host: x', 'Connection: close', `Content-Length: ${String(bytes.length)}`, ...headers];
  return Buffer.concat([Buffer.from(`${line} HTTP/1.1\r\n${all.join('\r\n')}\r\n\r\n`, 'latin1'), bytes]);
}

const pick = <T>(items: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...items);
/** The first of them as often as all others together: what gets past the form is what there is most to try with. */
const mostly = <T>(first: T, ...others: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof(fc.constant(first), fc.constantFrom(...others));
/** Characters that a header may have, and some that it may not. */
const odd = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.uint8Array({ maxLength: 20 }).map((bytes) =>
    Buffer.from(bytes)
      .toString('latin1')
      .replace(/[\r\n]/g, ' '),
  ),
  fc.constantFrom('', '\0', '\t', '__proto__', '\u00ff', '%00', ',', '""', '=', '===='),
);
const name = fc.oneof(
  fc.constantFrom(
    'admin',
    'ann',
    'gone',
    'nobody',
    '',
    '_',
    'Admin',
    'admin ',
    'admin\0',
    '__proto__',
    'ad min',
  ),
  fc.string({ unit: 'binary', maxLength: 12 }).map((text) => text.toWellFormed()),
  fc.constant('x'.repeat(5000)),
);

// ---- cookies --------------------------------------------------------------------------------------------------

/** The bytes of a session, which are `NAME:TIME:MAC`, changed. */
function sessionBytes({ cookies }: Genuine): fc.Arbitrary<Buffer> {
  const bytes = pick(cookies).map((cookie) => Buffer.from(cookie, 'base64url'));
  const macOf = (session: Buffer): Buffer => session.subarray(-MAC_BYTES);
  const signed = (session: Buffer): string => session.toString('latin1', 0, session.length - MAC_BYTES - 1);
  const time = fc.oneof(
    fc.constantFrom(
      '0',
      '',
      '-1',
      'ffffffff',
      'FFFFFFFFFFFF',
      '1e9',
      'NaN',
      '0x68000000',
      ' 68000000',
      '68000000',
    ),
    fc.nat().map((seconds) => seconds.toString(16).toUpperCase()),
  );
  const put = (text: string, mac: Buffer): Buffer => Buffer.concat([Buffer.from(`${text}:`), mac]);
  return fc.oneof(
    fc.tuple(bytes, fc.nat()).map(([session, bit]) => flipped(session, bit)),
    fc.tuple(bytes, fc.nat()).map(([session, length]) => session.subarray(0, length % session.length)),
    fc
      .tuple(bytes, fc.uint8Array({ minLength: 1, maxLength: 9 }))
      .map(([a, more]) => Buffer.concat([a, more])),
    fc.tuple(bytes, time).map(([a, at]) => put(`${signed(a).replace(/:[^:]*$/, '')}:${at}`, macOf(a))),
    fc.tuple(bytes, name).map(([a, who]) => put(`${who}:${signed(a).replace(/^.*:/, '')}`, macOf(a))),
    bytes.map((session) => put(signed(session).toLowerCase(), macOf(session))),
    fc.tuple(bytes, bytes).map(([one, other]) => put(signed(one), macOf(other))),
    fc
      .tuple(name, time, fc.uint8Array({ maxLength: 40 }))
      .map(([who, at, mac]) => put(`${who}:${at}`, Buffer.from(mac))),
    fc.uint8Array({ maxLength: 60 }).map((some) => Buffer.from(some)),
  );
}

const MAC_BYTES = 32;

function flipped(bytes: Buffer, bit: number): Buffer {
  const changed = Buffer.from(bytes);
  const at = bit % (bytes.length * 8);
  changed[at >> 3] = (changed[at >> 3] ?? 0) ^ (1 << (at & 7));
  return changed;
}

const sessionEncoding = mostly<(bytes: Buffer) => string>(
  (bytes) => bytes.toString('base64url'),
  (bytes) => bytes.toString('base64'),
  (bytes) => bytes.toString('base64url').toLowerCase(),
  (bytes) => bytes.toString('hex'),
  (bytes) => bytes.toString('latin1').replace(/[\r\n;]/g, ''),
  (bytes) => encodeURIComponent(bytes.toString('base64')),
  (bytes) => Buffer.from(bytes.toString('base64url')).toString('base64url'),
);

function cookieHeader(genuine: Genuine): fc.Arbitrary<string> {
  const isGenuine = (value: string): boolean =>
    genuine.cookies.some((one) => Buffer.from(one, 'base64url').equals(Buffer.from(value, 'base64url')));
  const edited = fc
    .tuple(pick(genuine.cookies), fc.nat(), odd, fc.nat(3))
    .map(([value, at, text, cut]) => spliced(value, at, text.replace(/[;"]/g, ''), cut));
  const value = fc
    .oneof(
      {
        weight: 5,
        arbitrary: fc.tuple(sessionBytes(genuine), sessionEncoding).map(([bytes, encode]) => encode(bytes)),
      },
      { weight: 2, arbitrary: pick(genuine.stale) },
      { weight: 2, arbitrary: edited },
      { weight: 1, arbitrary: odd },
    )
    .filter((text) => !isGenuine(text));
  const shaped = fc
    .tuple(value, fc.constantFrom('AuthSession=V', 'AuthSession="V"', ' AuthSession = V ', 'AuthSession=V=='))
    .map(([text, shape]) => shape.replace('V', () => text));
  const others = fc.oneof(
    fc.constantFrom(
      'a=b',
      'AuthSession',
      'AuthSession=',
      'authsession=V',
      '=',
      '__proto__=x',
      'X-AuthSession=V',
    ),
    fc.nat(2000).map((count) => Array.from({ length: count }, (_, n) => `c${String(n)}=x`).join('; ')),
    odd.filter((text) => !text.includes('AuthSession')),
  );
  return fc
    .array(fc.oneof({ weight: 5, arbitrary: shaped }, { weight: 1, arbitrary: others }), {
      minLength: 1,
      maxLength: 2,
    })
    .map((pairs) => `Cookie: ${pairs.join('; ')}`);
}

const spliced = (text: string, at: number, by: string, cut: number): string => {
  const place = at % (text.length + 1);
  return text.slice(0, place) + by + text.slice(place + cut);
};

// ---- passwords ------------------------------------------------------------------------------------------------

function wrongPair({ credentials }: Genuine): fc.Arbitrary<Buffer> {
  const password = fc.oneof(
    fc.constantFrom(
      '',
      ':',
      ' ',
      '\0',
      'secret\0',
      ' secret',
      'secret ',
      'SECRET',
      'secret\n',
      '-pbkdf2-x',
      'x:y',
    ),
    fc.string({ unit: 'binary', maxLength: 12 }).map((text) => text.toWellFormed()),
    fc.constant('y'.repeat(20_000)),
  );
  const edited = fc
    .tuple(pick(credentials), fc.nat(), fc.string({ maxLength: 3 }), fc.nat(2))
    .map(([text, at, by, cut]) => spliced(text, at, by, cut));
  return fc
    .oneof(
      fc.tuple(name, password).map(([who, what]) => Buffer.from(`${who}:${what}`)),
      edited.map((text) => Buffer.from(text)),
      pick(credentials).map((text) => Buffer.from(text, 'utf16le')),
      pick(credentials).map((text) => Buffer.from(Buffer.from(text).toString('base64'))),
      fc.tuple(pick(credentials), fc.nat()).map(([text, bit]) => flipped(Buffer.from(text), bit)),
      fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
    )
    .filter((bytes) => !credentials.some((text) => Buffer.from(text).equals(bytes)));
}

const pairEncoding = mostly<(bytes: Buffer) => string>(
  (bytes) => bytes.toString('base64'),
  (bytes) => bytes.toString('base64url'),
  (bytes) => bytes.toString('base64').replace(/=+$/, ''),
  (bytes) => bytes.toString('base64').replace(/(.{5})/g, '$1 '),
  (bytes) => `${bytes.toString('base64')}====`,
  (bytes) => bytes.toString('hex'),
  (bytes) => bytes.toString('latin1').replace(/[\r\n]/g, ''),
);

function authorizationHeader(genuine: Genuine): fc.Arbitrary<string> {
  const isGenuine = (text: string): boolean =>
    genuine.credentials.includes(Buffer.from(text.replace(/\s/g, ''), 'base64').toString());
  const encoded = fc.tuple(wrongPair(genuine), pairEncoding).map(([bytes, encode]) => encode(bytes));
  const edited = fc
    .tuple(pick(genuine.credentials), fc.nat(), odd, fc.nat(3))
    .map(([text, at, by, cut]) => spliced(Buffer.from(text).toString('base64'), at, by, cut));
  const value = fc
    .oneof({ weight: 5, arbitrary: encoded }, { weight: 2, arbitrary: edited }, { weight: 1, arbitrary: odd })
    .filter((text) => !isGenuine(text));
  const scheme = fc.oneof(
    { weight: 4, arbitrary: fc.constant('Basic ') },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        'basic ',
        'BASIC ',
        'Basic',
        'Basic\t',
        'Bearer ',
        'Digest ',
        'Negotiate ',
        '',
      ),
    },
  );
  return fc.oneof(
    { weight: 29, arbitrary: fc.tuple(scheme, value).map((parts) => `Authorization: ${parts.join('')}`) },
    { weight: 1, arbitrary: fc.nat(120_000).map((count) => `Authorization: Basic ${'A'.repeat(count)}`) },
  );
}

// ---- log-ins --------------------------------------------------------------------------------------------------

/** A type and a body, each character of which is a byte. */
function loginBody(genuine: Genuine): fc.Arbitrary<readonly [string, string]> {
  const json = fc.oneof(
    wrongPair(genuine).map((bytes) => {
      const [who = '', ...what] = bytes.toString('utf8').split(':');
      return JSON.stringify({ name: who, password: what.join(':') });
    }),
    fc.json(),
    fc
      .record({ name: fc.oneof(name, fc.jsonValue()), password: fc.jsonValue(), token: fc.jsonValue() })
      .map(notSecret),
    fc.constantFrom(
      '{"name":"ann","name":"admin","password":"x","password":"y"}',
      '{"__proto__":{"name":"admin","password":"secret"}}',
      '{"name":["admin"],"password":{"toString":"secret"}}',
      '{"name":"admin","username":"ann","password":"secret"}',
      '{"name":"admin","password":"secret"',
      '["admin","secret"]',
      `{"name":"admin","password":"${'z'.repeat(70_000)}"}`,
    ),
  );
  const form = fc.oneof(
    fc.tuple(name, odd).map(([who, what]) => `name=${encodeURIComponent(who)}&password=${what}`),
    fc.constantFrom(
      'name[]=admin&password[]=secret',
      'name=admin',
      'password=secret',
      '%00',
      '&&&',
      '=',
      'name=%ff',
    ),
    fc.constantFrom('name=ann&name=admin&password=secret', 'name=admin&password=x&password=secret'),
  );
  const types = [
    'application/json',
    'application/json; charset=utf-16',
    'text/plain',
    'multipart/form-data; boundary=x',
  ];
  return fc.oneof(
    fc.tuple(pick(types), json),
    form.map((body) => ['application/x-www-form-urlencoded', body] as const),
  );
}

/** Nobody's password, however unlikely it is to be drawn. */
const notSecret = (body: object): string => JSON.stringify(body).replaceAll('secret', 'guess');
