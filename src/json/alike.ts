/** So many characters are compared at once. */
const PART = 256;

/** How many characters two texts begin with alike. */
export function alikeAtBeginnings(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let count = 0;
  while (count < most && a.slice(count, count + PART) === b.slice(count, count + PART)) count += PART;
  while (count < most && a.charCodeAt(count) === b.charCodeAt(count)) count++;
  return Math.min(count, most);
}

/** How many characters two texts end with alike. */
export function alikeAtEnds(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  const part = (text: string, count: number): string =>
    text.slice(Math.max(0, text.length - count - PART), text.length - count);
  let count = 0;
  while (count < most && part(a, count) === part(b, count)) count += PART;
  while (count < most && a.charCodeAt(a.length - 1 - count) === b.charCodeAt(b.length - 1 - count)) count++;
  return Math.min(count, most);
}
