import { prepare } from '../../scripts/setup.cjs';

/** Some tests run what was compiled. */
export function setup(): void {
  prepare();
}
