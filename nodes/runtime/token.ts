/** `msg.job` as it comes from a wire: untrusted JSON until its shape has been checked. */
import { ExdicomError } from '../engine/errors';
import type { JobToken } from '../engine/model';
import type { Message } from './red';

const LONGEST = 200;
const isShortText = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length <= LONGEST;

/**
 * The token of a message, or undefined where it carries none.
 * @throws {ExdicomError} JOB_UNKNOWN where there is something that is no token.
 */
export function jobOf(message: Message): JobToken | undefined {
  const job = message['job'];
  if (job === undefined || job === null) return undefined;
  if (typeof job !== 'object') throw new ExdicomError('JOB_UNKNOWN', { detail: 'msg.job is no token' });
  const { id, name, ledger, attempt } = job as Record<string, unknown>;
  if (!isShortText(id) || !isShortText(name) || !isShortText(ledger) || !Number.isSafeInteger(attempt) || (attempt as number) < 1) {
    throw new ExdicomError('JOB_UNKNOWN', { detail: 'msg.job is no token' });
  }
  return { id: id as JobToken['id'], name, ledger, attempt: attempt as number };
}
