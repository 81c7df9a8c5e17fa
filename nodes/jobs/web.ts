/** Requests of browsers that come through core's http-in: which of them may act. */
import { ExdicomError } from '../engine/errors';
import type { Message } from '../runtime/red';

interface WebRequest { readonly method: string; readonly headers: Readonly<Record<string, unknown>> }

/**
 * Lets through what may act or name a patient: no GET, whose address ends up in logs, and nothing that a page of another
 * site makes a browser send with the user's credentials. A message that did not come over HTTP passes.
 * @throws {ExdicomError} REQUEST_REFUSED
 */
export function checkMayAct(message: Message): void {
  const request = webRequest(message);
  if (request === undefined) return;
  if (['GET', 'HEAD', 'OPTIONS'].includes(request.method.toUpperCase())) throw new ExdicomError('REQUEST_REFUSED', { detail: 'it has to be a POST' });
  if (!isOwnSite(request.headers)) throw new ExdicomError('REQUEST_REFUSED', { detail: 'it comes from another site' });
}

/** What browsers tell of where a request was made. Other programs send neither header, and no other site steers them. */
function isOwnSite(headers: WebRequest['headers']): boolean {
  const { 'sec-fetch-site': site, origin, host, 'x-forwarded-host': forwarded } = headers;
  if (typeof site === 'string') return site === 'same-origin' || site === 'none';
  if (typeof origin !== 'string') return true;
  const from = URL.parse(origin)?.host;
  return from !== undefined && [host, forwarded].includes(from);
}

function webRequest(message: Message): WebRequest | undefined {
  const { req } = message as { readonly req?: unknown };
  if (typeof req !== 'object' || req === null || !('method' in req) || typeof req.method !== 'string') return undefined;
  const headers = 'headers' in req && typeof req.headers === 'object' && req.headers !== null ? req.headers as WebRequest['headers'] : {};
  return { method: req.method, headers };
}
