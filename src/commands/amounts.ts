/** Numbers as people read them. */
export const number = (value: number): string => value.toLocaleString('en');

export const count = (value: number, one: string, many = `${one}s`): string =>
  `${number(value)} ${value === 1 ? one : many}`;

export function size(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  while (value >= 1000 && units.length > 1) {
    value /= 1000;
    units.shift();
  }
  return `${value.toLocaleString('en', { maximumFractionDigits: 1 })} ${units[0] ?? ''}`;
}

/** @param seconds at least 0 */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${String(whole)} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${String(minutes)} min ${String(whole % 60)} s`;
  return `${number(Math.floor(minutes / 60))} h ${String(minutes % 60)} min`;
}
