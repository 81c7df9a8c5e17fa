/** When a job that failed is tried again, and when no more. */
import { nextActive } from './active-hours';
import type { RetryPolicy } from './ledger-types';

/** Failures of a job in a row without progress. Milliseconds since 1970. */
export interface Failures {
  readonly failures: number;
  readonly failingSince?: number;
}

/** Milliseconds to wait after the nth failure in a row; the destination's own wish is a minimum. */
export function retryDelay(policy: RetryPolicy, failures: number, retryAfter = 0, chance = Math.random()): number {
  const full = Math.min(policy.cap, policy.delay * policy.factor ** Math.max(0, failures - 1));
  return Math.round(Math.max(retryAfter, full * (1 - policy.jitter * chance)));
}

/** When it is tried again after the failure that has just been counted; not before `notBefore`, and within the active hours. */
export function nextTry(policy: RetryPolicy, failures: number, now: number, notBefore = 0): number {
  return nextActive(policy.hours, Math.max(now + retryDelay(policy, failures), notBefore));
}

/** Whether the policy allows no further try. */
export function givesUp({ maximumAge, attempts = 0 }: RetryPolicy, { failures, failingSince }: Failures, now: number): boolean {
  return (failingSince !== undefined && now - failingSince > maximumAge) || (attempts > 0 && failures > attempts);
}
