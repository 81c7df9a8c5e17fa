import type { ErrorCode } from '../errors';

/** Why one entry is not unpacked; it costs no other. Thrown while its bytes are read, never further than the share. */
export class EntryRefused extends Error {
  constructor(readonly code: ErrorCode) { super(code); }
}
