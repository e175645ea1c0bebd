import { randomBytes } from 'node:crypto';

const POOL = 5000;
let pool = '';
let at = 0;

/** Ten hexadecimal digits that name a request; the randomness is fetched for many at once. */
export function requestId(): string {
  if (at === pool.length) {
    pool = randomBytes(POOL).toString('hex');
    at = 0;
  }
  at += 10;
  return pool.slice(at - 10, at);
}

const GIVEN = /^[0-9A-Za-z_-]{1,36}$/;

/** Whether an id that a client gave its request may go into logs and answers. */
export const isRequestId = (text: string): boolean => GIVEN.test(text);

const LAST = 0xfff000;

/** Document ids that grow, so that documents made one after another lie together on disk; as CouchDB's `sequential`. */
export class Uuids {
  #prefix = '';
  #sequence = LAST;

  next(): string {
    if (this.#sequence >= LAST) {
      this.#prefix = randomBytes(13).toString('hex');
      this.#sequence = step();
    }
    const id = this.#prefix + this.#sequence.toString(16).padStart(6, '0');
    this.#sequence += step();
    return id;
  }
}

const step = (): number => 1 + Math.floor(Math.random() * 0xffd);
