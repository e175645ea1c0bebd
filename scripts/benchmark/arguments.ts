import { InvalidArgumentError } from 'commander';

/** Reads a number of the command line. */
export function positive(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1)
    throw new InvalidArgumentError('It is not a positive number.');
  return number;
}
