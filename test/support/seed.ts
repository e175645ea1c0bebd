import fc from 'fast-check';

/** Property tests run the same cases each time, unless TEST_SEED names others (a number). */
const seed = Number(process.env.TEST_SEED ?? 20_240_229);
if (!Number.isInteger(seed)) throw new Error('TEST_SEED has to be an integer');
fc.configureGlobal({ seed });
