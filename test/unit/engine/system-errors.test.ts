import assert from 'node:assert/strict';
import { constants } from 'node:os';
import test from 'node:test';
import { toExdicomError } from '../../../nodes/engine/errors';

/** As Node throws it. */
const thrown = (code: string): Error => Object.assign(new Error(`${code}: open '/data/NAME OF A PATIENT'`), { code, syscall: 'open' });

test('errors of the system that Node has no name for are known by their numbers: a used up quota is a full disk, a stale handle passes', () => {
  const told = (code: string) => {
    const { code: known, retryable, detail, message } = toExdicomError(thrown(code));
    assert.doesNotMatch(message, /PATIENT/);
    return [known, retryable, detail];
  };
  assert.deepEqual(told('ENOSPC'), ['DISK_FULL', true, 'ENOSPC']);
  assert.deepEqual(told(`Unknown system error -${constants.errno.EDQUOT}`), ['DISK_FULL', true, 'EDQUOT']);
  assert.deepEqual(told(`Unknown system error -${constants.errno.ESTALE}`), ['STORAGE_FAILED', true, 'ESTALE']);
  assert.deepEqual(told('Unknown system error -9999'), ['STORAGE_FAILED', true, 'E9999']);
  assert.deepEqual(told('ELOOP'), ['STORAGE_FAILED', true, 'ELOOP']);
  assert.deepEqual(told('EINVAL'), ['INTERNAL', false, undefined]);
});
