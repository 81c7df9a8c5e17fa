/** The two equations of the accounting, and the outcome that numbers lead to. */
import type { ErrorCode } from '../errors';
import type { Outcome } from '../model';
import type { Assessment } from './store';

/** Whether every entry and, for every required destination, every instance is accounted for exactly once. */
export function balances({ entries, destinations }: Assessment): boolean {
  const kinds = entries.instance + entries.index + entries['not-dicom'] + entries.duplicate + entries.conflict + entries.unreadable;
  return entries.total === kinds && destinations.every(
    (to) => to.instances === to.verified + to.quarantined + to.failed + to.pending + to.leftOut && (!to.required || to.instances >= entries.instance),
  );
}

/** Instances that some required destination does not have and was not asked to take, or that no destination was. */
export function leftOut({ destinations, undelivered }: Assessment): number {
  const required = destinations.filter((to) => to.required);
  return required.length === 0 ? undelivered : required.reduce((sum, to) => sum + to.leftOut, 0);
}

/** Deliveries whose end is not known yet. Those of an earlier attempt that this one never came back to are told apart. */
export function unfinished({ destinations }: Assessment): { readonly now: number; readonly abandoned: number } {
  let now = 0, abandoned = 0;
  for (const to of destinations) {
    now += to.pending - to.abandoned;
    abandoned += to.abandoned;
  }
  return { now, abandoned };
}

/** The table of outcomes, for a job that `finish` may close. */
export function judge(assessment: Assessment, allowLeftOut: boolean): { readonly outcome: Outcome; readonly code?: ErrorCode } {
  if (!balances(assessment)) return { outcome: 'failed', code: 'ACCOUNTING' };
  const required = assessment.destinations.filter((to) => to.required);
  // What a required destination was begun with by an earlier attempt and never got is missing there as well.
  const missing = leftOut(assessment) + required.reduce((sum, to) => sum + to.pending, 0);
  if (missing > 0 && !allowLeftOut) return { outcome: 'failed', code: 'LEFT_OUT' };
  const { conflict, unreadable } = assessment.entries;
  const exceptions = missing + assessment.quarantined + conflict + unreadable + assessment.destinations.reduce((sum, to) => sum + to.failed, 0);
  if (exceptions > 0) return { outcome: 'with-exceptions' };
  return assessment.instances === 0 ? { outcome: 'failed', code: 'NO_DICOM' } : { outcome: 'complete' };
}
