import { readJwtKey } from './jwt.js';
import type { Config } from './schema.js';

/** What is wrong with a configuration, though not so much that nothing could start with it. */
export function cautions({ auth: { handlers }, jwt, proxy, upstream }: Config): string[] {
  const found = shortSecrets(jwt.keys);
  if (Object.keys(jwt.keys).length > 0 && !handlers.includes('jwt'))
    found.push('jwt.keys count for nothing while auth.handlers does not name jwt');
  if (proxy.secret !== undefined && !handlers.includes('proxy'))
    found.push('proxy.secret counts for nothing while auth.handlers does not name proxy');
  if (upstream.url !== undefined && isOverheard(new URL(upstream.url)))
    found.push('upstream.url has no https: passwords and documents can be read on their way there');
  return found;
}

const isOverheard = ({ protocol, hostname }: URL): boolean =>
  protocol === 'http:' && !/^(localhost|127\.[0-9.]+|\[::1\])$/.test(hostname);

/** Secrets of tokens with fewer bytes may be found by trying, by whoever has a token. */
const SHORT = 32;

function shortSecrets(keys: Config['jwt']['keys']): string[] {
  return Object.entries(keys).flatMap(([name, text]) => {
    const { symmetricKeySize: size = SHORT } = readJwtKey(name, text) ?? {};
    return size < SHORT
      ? [`the secret of jwt.keys.${name} has ${size} bytes; with fewer than ${SHORT} it may be guessed`]
      : [];
  });
}
