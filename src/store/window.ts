/** A time of each day in UTC, from one `HH:MM` (inclusive) to another; midnight may be in between. */
export interface Window {
  readonly from: string;
  readonly to: string;
}

const DAY = 24 * 60;

/** Milliseconds until the window is open; 0 while it is. */
export function msUntilOpen({ from, to }: Window, now: Date): number {
  const [start, end] = [minutesOf(from), minutesOf(to)];
  const minute = now.getUTCHours() * 60 + now.getUTCMinutes();
  const isOpen = start < end ? minute >= start && minute < end : minute >= start || minute < end;
  if (isOpen) return 0;
  const wait = (start - minute + DAY) % DAY;
  return wait * 60_000 - (now.getUTCSeconds() * 1000 + now.getUTCMilliseconds());
}

function minutesOf(time: string): number {
  const [hours = '0', minutes = '0'] = time.split(':');
  return Number(hours) * 60 + Number(minutes);
}
