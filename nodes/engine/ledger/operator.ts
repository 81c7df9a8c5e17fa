/** Who acted, as it is recorded: what a person typed, made harmless. */
import { NOBODY } from './ledger-types';

const LONGEST = 64;

/** At most 64 printable characters; `jobs node` where none is left. */
export function operatorOf(who: string | undefined): string {
  const printable = (who ?? '').replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]+/gu, ' ').trim();
  return Array.from(printable).slice(0, LONGEST).join('').trim() || NOBODY;
}
