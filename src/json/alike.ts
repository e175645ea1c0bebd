/** How many characters two texts begin with alike. */
export const alikeAtBeginnings = (a: string, b: string): number =>
  alike(a, b, (from, to) => a.slice(from, to) === b.slice(from, to));

/** How many characters two texts end with alike. */
export const alikeAtEnds = (a: string, b: string): number =>
  alike(
    a,
    b,
    (from, to) => a.slice(a.length - to, a.length - from) === b.slice(b.length - to, b.length - from),
  );

/** So many characters are compared first. */
const FEW = 128;

/** Compares longer and longer parts until one is not alike, and then halves of what is left. */
function alike(a: string, b: string, isAlike: (from: number, to: number) => boolean): number {
  const most = Math.min(a.length, b.length);
  let count = 0;
  let part = FEW;
  for (; count + part <= most && isAlike(count, count + part); part *= 2) count += part;
  for (part /= 2; part >= 1; part /= 2) {
    if (count + part <= most && isAlike(count, count + part)) count += part;
  }
  return count;
}
