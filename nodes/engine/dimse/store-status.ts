/** What the status of a C-STORE-RSP means (PS3.4, B.2.3; PS3.7, C). */
import type { ErrorCode } from '../errors';

export type StoreVerdict =
  | { readonly kind: 'stored'; readonly warned: boolean }
  | { readonly kind: 'refused'; readonly code: Extract<ErrorCode, 'STORE_BUSY' | 'STORE_MISMATCH' | 'STORE_REFUSED'> };

/**
 * Coercion of data elements, elements discarded, data set does not match SOP Class (PS3.4, Table B.2-1), and duplicate SOP
 * instance (PS3.7, C.5.4): the peer has it. Any other warning is not defined for storage, and proves nothing.
 */
const WARNINGS: ReadonlySet<number> = new Set([0xb000, 0xb006, 0xb007, 0x0111]);
/** Resource limitation (PS3.7, C.5.16). */
const RESOURCE_LIMITATION = 0x0213;

export function judgeStoreStatus(status: number): StoreVerdict {
  if (status === 0x0000) return { kind: 'stored', warned: false };
  if (WARNINGS.has(status)) return { kind: 'stored', warned: true };
  if ((status & 0xff00) === 0xa700 || status === RESOURCE_LIMITATION) return { kind: 'refused', code: 'STORE_BUSY' };
  if ((status & 0xff00) === 0xa900) return { kind: 'refused', code: 'STORE_MISMATCH' };
  return { kind: 'refused', code: 'STORE_REFUSED' };
}

/** The final response is still to come (PS3.7, C.1.3; PS3.4, Table C.4-1). */
export const isPending = (status: number): boolean => status === 0xff00 || status === 0xff01;

/** `0xA700` */
export const statusText = (status: number): string => `0x${status.toString(16).toUpperCase().padStart(4, '0')}`;
