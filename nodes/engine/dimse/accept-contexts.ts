/** Which presentation contexts a Storage and Verification SCP takes (PS3.4, A and B.5; PS3.8, 7.1.1.13). */
import { TRANSFER_SYNTAXES } from '../dicom/transfer-syntaxes';
import { ContextResult } from './accept-pdu';
import type { AnsweredContext, RequestedContext } from './accept-pdu';
import { VERIFICATION_SOP_CLASS } from './echo';

const STANDARD_ROOT = '1.2.840.10008.';
const STORAGE_ROOT = '1.2.840.10008.5.1.4.1.1.';
/** Storage SOP Classes outside that root (PS3.4, GG): hanging protocol, palette, implants, templates, protocols, RT instruction. */
const OTHER_STORAGE: ReadonlySet<string> = new Set([
  '1.2.840.10008.5.1.4.38.1', '1.2.840.10008.5.1.4.39.1', '1.2.840.10008.5.1.4.43.1', '1.2.840.10008.5.1.4.44.1', '1.2.840.10008.5.1.4.45.1',
  '1.2.840.10008.5.1.4.34.7', '1.2.840.10008.5.1.4.34.10', '1.2.840.10008.5.1.1.27', '1.2.840.10008.5.1.1.29', '1.2.840.10008.5.1.1.30',
]);
/** Pixel data that lies at a provider (JPIP) is not in what is sent, so it could never be kept. */
const REFERENCED: ReadonlySet<string> = new Set(['1.2.840.10008.1.2.4.94', '1.2.840.10008.1.2.4.95', '1.2.840.10008.1.2.4.204', '1.2.840.10008.1.2.4.205']);

export function isStorage(abstractSyntax: string, privateSopClasses: boolean): boolean {
  if (abstractSyntax.startsWith(STORAGE_ROOT) || OTHER_STORAGE.has(abstractSyntax)) return true;
  return privateSopClasses && !abstractSyntax.startsWith(STANDARD_ROOT);
}

const canKeep = (transferSyntax: string): boolean => TRANSFER_SYNTAXES.has(transferSyntax) && !REFERENCED.has(transferSyntax);

/** Takes of each context the first transfer syntax that we can: what the sender names first costs it least. */
export function answerContexts(requested: readonly RequestedContext[], privateSopClasses: boolean): AnsweredContext[] {
  return requested.map(({ id, abstractSyntax, transferSyntaxes }) => {
    const known = abstractSyntax === VERIFICATION_SOP_CLASS || isStorage(abstractSyntax, privateSopClasses);
    const transferSyntax = transferSyntaxes.find(canKeep);
    if (known && transferSyntax !== undefined) return { id, result: ContextResult.accepted, transferSyntax };
    // Not significant then, but some requestors want to read one.
    return { id, result: known ? ContextResult.transferSyntaxes : ContextResult.abstractSyntax, transferSyntax: transferSyntaxes[0] ?? '' };
  });
}
