import { BlockList, isIPv4, isIPv6 } from 'node:net';

/**
 * Link-local addresses, and those at which clouds answer with the secrets of the machine that asks: AWS and most others
 * at 169.254.169.254 or in fd00:ec2::/32, Alibaba at 100.100.100.200, Oracle at 192.0.0.192, Azure at 168.63.129.16.
 */
const GUARDED = new BlockList();
GUARDED.addSubnet('169.254.0.0', 16, 'ipv4');
GUARDED.addAddress('100.100.100.200', 'ipv4');
GUARDED.addAddress('192.0.0.192', 'ipv4');
GUARDED.addAddress('168.63.129.16', 'ipv4');
GUARDED.addSubnet('fe80::', 10, 'ipv6');
GUARDED.addSubnet('fd00:ec2::', 32, 'ipv6');

/** The host of a URL without the brackets of IPv6. */
export const bareHost = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, '$1');

/**
 * Whether somebody must have allowed an address by name, whatever it is wrapped in.
 * @param address as a resolver gives it, or as it stands in a URL: `new URL` has made one form of all of them
 */
export function isGuarded(address: string): boolean {
  // A zone says by which network, not where to.
  const [bare = ''] = address.split('%', 1);
  if (isIPv4(bare)) return GUARDED.check(bare, 'ipv4');
  if (!isIPv6(bare)) return false;
  return (
    GUARDED.check(bare, 'ipv6') || embedded(groupsOf(bare)).some((inner) => GUARDED.check(inner, 'ipv4'))
  );
}

/** The eight groups of an IPv6 address. */
function groupsOf(address: string): readonly number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const [, head = '', ...bytes] = dotted ?? [];
  const text = dotted === null ? address : head + pair(bytes, 0) + ':' + pair(bytes, 2);
  const [before = '', after] = text.split('::', 2);
  const left = hexadecimal(before);
  const right = hexadecimal(after ?? '');
  return [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
}

const pair = (bytes: readonly string[], at: number): string =>
  ((Number(bytes[at]) << 8) | Number(bytes[at + 1])).toString(16);

const hexadecimal = (text: string): number[] =>
  text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));

/** IPv4 addresses that an IPv6 one leads to. */
function embedded(groups: readonly number[]): readonly string[] {
  const [first = 0, second = 0, third = 0] = groups;
  const last = ipv4(groups[6], groups[7]);
  const isZero = (from: number, to: number): boolean => groups.slice(from, to).every((group) => group === 0);
  // ::ffff:a.b.c.d, ::ffff:0:a.b.c.d and ::a.b.c.d
  if (isZero(0, 4)) return [last];
  // NAT64, also with a prefix of one's own below 64:ff9b:1::/48
  if (first === 0x64 && second === 0xff9b) return [last];
  // 6to4
  if (first === 0x2002) return [ipv4(second, third)];
  return [];
}

const ipv4 = (high = 0, low = 0): string => [high >> 8, high & 255, low >> 8, low & 255].join('.');
