/**
 * Every machine begins as a copy of the same one, and its own Math.random would have all say the same numbers.
 * @param numbers four whole numbers of 32 bits
 */
export function seed(numbers: readonly number[]): void {
  let [a = 1, b = 2, c = 3, counter = 1] = numbers;
  /** Chris Doty-Humphrey's small fast counting generator. */
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  Math.random = () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
}

/** What says something else each time, or on each machine. */
export function removeUncertain(): void {
  Reflect.deleteProperty(globalThis, 'Date');
  Reflect.deleteProperty(Math, 'random');
}
