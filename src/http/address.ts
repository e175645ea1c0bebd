import { BlockList, isIP } from 'node:net';
import { clientOf } from './connections.js';

/** Where proxies stand that are believed when they say for whom they ask: this machine and private networks. */
const proxies = new BlockList();
for (const [network, prefix] of [
  ['127.0.0.0', 8],
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['100.64.0.0', 10],
  ['192.168.0.0', 16],
] as const) {
  proxies.addSubnet(network, prefix, 'ipv4');
}
proxies.addSubnet('fc00::', 7, 'ipv6');
proxies.addAddress('::1', 'ipv6');

/** Whom failed log-ins are counted for: of IPv6 a network, for one client may have all addresses of it. */
export const addressOf = (peer: string | undefined, forwarded: string | undefined): string =>
  clientOf(sourceOf(peer, forwarded));

/**
 * The address that a request came from: the peer, or whom a proxy in front names last in `X-Forwarded-For`, as CouchDB
 * has it. What others write there is not believed.
 */
export function sourceOf(peer = '', forwarded: string | undefined): string {
  const [named = ''] = forwarded?.split(',').slice(-1) ?? [];
  const address = named.trim();
  return address !== '' && isIP(address) !== 0 && isProxy(peer) ? address : peer.replace('::ffff:', '');
}

function isProxy(peer: string): boolean {
  const plain = peer.startsWith('::ffff:') ? peer.slice('::ffff:'.length) : peer;
  const family = isIP(plain);
  return family !== 0 && proxies.check(plain, family === 4 ? 'ipv4' : 'ipv6');
}
