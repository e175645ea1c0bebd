import { BuiltInThread } from '../../src/conflicts/sources/builtin/thread.js';

/** Merges for all tests of this process, which it does not keep from ending. */
export const builtIns = new BuiltInThread();
