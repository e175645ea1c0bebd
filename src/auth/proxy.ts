import { isUtf8 } from 'node:buffer';
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Logger } from 'pino';
import type { Config } from '../config/schema.js';
import { badRequest } from '../errors.js';
import { splitRoles } from './roles.js';
import type { UserContext } from './usercontext.js';

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * Believes a proxy in front that says who asks and what their roles are, if it knows the secret: it sends an HMAC of the
 * name. That says nothing of the roles, as in CouchDB, so a proxy must pass on none of these headers from its clients.
 */
export class TrustedProxy {
  /** @param settings asked for each time: they may change */
  constructor(
    private readonly settings: () => Config['proxy'],
    private readonly log: Pick<Logger, 'warn'>,
  ) {}

  /**
   * Whom the headers name; undefined where they name nobody, or the token does not fit.
   * @param client whose address is logged; to find it out takes a while
   * @throws CouchError 400 for a name or roles that are not UTF-8
   */
  authenticate(headers: Headers, client: { readonly address: string }): UserContext | undefined {
    const { secret, usernameHeader, rolesHeader, tokenHeader, hashAlgorithms } = this.settings();
    const name = valueOf(headers, usernameHeader);
    if (secret === undefined || name === undefined) return undefined;
    const token = valueOf(headers, tokenHeader) ?? NOTHING;
    if (!hashAlgorithms.some((algorithm) => isTokenOf(name, token, secret, algorithm))) {
      this.log.warn({ address: client.address }, 'the token of a proxy does not fit the name');
      return undefined;
    }
    const roles = valueOf(headers, rolesHeader) ?? NOTHING;
    return { name: textOf(name, usernameHeader), roles: splitRoles(textOf(roles, rolesHeader)) };
  }
}

const NOTHING = Buffer.alloc(0);

/** The bytes of a header, which Node gives as Latin-1; undefined where there are none. */
function valueOf(headers: Headers, name: string): Buffer | undefined {
  const value = headers[name.toLowerCase()];
  return typeof value === 'string' && value !== '' ? Buffer.from(value, 'latin1') : undefined;
}

function textOf(bytes: Buffer, header: string): string {
  if (!isUtf8(bytes)) throw badRequest(`${header} is not UTF-8`);
  return bytes.toString('utf8');
}

type Algorithm = Config['proxy']['hashAlgorithms'][number];

function isTokenOf(name: Buffer, token: Buffer, secret: string, algorithm: Algorithm): boolean {
  const hmac = createHmac(algorithm === 'sha' ? 'sha1' : algorithm, secret)
    .update(name)
    .digest('hex');
  return token.length === hmac.length && timingSafeEqual(token, Buffer.from(hmac));
}
