/** What was thrown, kept instead of thrown: a node whose settings are wrong must still be constructed, and say so. */
import { toExdicomError } from '../engine/errors';
import type { ExdicomError } from '../engine/errors';

export type Attempt<T> = { readonly value: T; readonly error: undefined } | { readonly value: undefined; readonly error: ExdicomError };

export function attempt<T>(action: () => T): Attempt<T> {
  try {
    return { value: action(), error: undefined };
  } catch (thrown) {
    return { value: undefined, error: toExdicomError(thrown) };
  }
}
