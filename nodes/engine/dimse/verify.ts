/**
 * Whether a destination has what it answered for with success: C-FIND at the destination, or at the query peer set for it.
 * Three ways, in this order, each recorded as what it is:
 * - `C-FIND`: IMAGE level by Study and Series Instance UID, as the hierarchical search of PS3.4, C.4.1.3.1 wants it;
 * - `C-FIND study`: IMAGE level by Study Instance UID alone, which some peers want;
 * - `C-FIND count`: the study's (0020,1208) Number of Study Related Instances is at least what was sent of it. It proves
 *   nothing about a single instance, so it counts only at a destination that never showed an instance at IMAGE level.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { ExdicomError } from '../errors';
import type { DeliveryResult, Shown } from '../ledger/ledger-types';
import type { VerificationLevel } from '../model';
import { Tag, openFinder } from './find';
import type { Answers, Finder } from './find';
import type { PacsSettings, Peer } from './peer';

export interface ToVerify {
  readonly instance: number;
  readonly sopInstanceUID: string;
  readonly seriesInstanceUID: string;
  readonly studyInstanceUID: string;
}

export interface VerifyContext {
  readonly signal: AbortSignal;
  /** Instances proven so far, of how many. */
  progress(done: number, total: number): void;
  /** Called with what was proven since the last call, before anything else is asked. */
  onVerified(results: readonly DeliveryResult[]): Promise<void> | void;
  /** What this destination's queries have ever shown, as far as the caller remembers it by `queryName`. */
  readonly shownBefore?: Shown;
  /** Called when they have shown more than was known. */
  onShown?(shown: Shown): Promise<void>;
  /** How many instances of a study this destination has answered for with success; default: those in this call. */
  sentOfStudy?(studyInstanceUID: string): number;
}

export interface VerifyResult {
  /** Every instance once: `verified` with its level, or `failed` as NOT_FOUND (retryable: send it again) or UNVERIFIABLE. */
  readonly results: readonly DeliveryResult[];
}

/** What this process knows of a destination's queries. */
type Experience = { -readonly [K in keyof Shown]: boolean };
const experience = new Map<string, Experience>();

/** Milliseconds: the first pause before asking again, and the longest. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 60_000;

/**
 * Asks until every instance is found or `verifyWait` is over.
 * @throws {ExdicomError} QUERY_FAILED where the peer takes or answers no query; PEER_* where it cannot be talked to. What
 * was not proven until then is still only sent: it is to be asked for again, not sent again.
 */
export async function verify(instances: readonly ToVerify[], peer: PacsSettings, context: VerifyContext, open: (peer: Peer, signal: AbortSignal) => Promise<Finder> = openFinder): Promise<VerifyResult> {
  const asked = peer.queryPeer ?? peer;
  const known = experienceOf(queryName(peer), context.shownBefore);
  const results: DeliveryResult[] = [];
  const missing = new Map<string, ToVerify[]>();
  for (const item of instances) addTo(missing, item.studyInstanceUID, item);
  const sent = new Map([...missing].map(([study, items]) => [study, context.sentOfStudy?.(study) ?? items.length]));

  const proven = async (items: readonly ToVerify[], level: VerificationLevel): Promise<void> => {
    if (items.length === 0) return;
    const image = level !== 'C-FIND count';
    const more = !known.any || (image && !known.image);
    known.any = true;
    known.image ||= image;
    if (more) await context.onShown?.({ ...known });
    const fresh = items.map(({ instance }): DeliveryResult => ({ instance, state: 'verified', level }));
    results.push(...fresh);
    await context.onVerified(fresh);
    context.progress(results.length, instances.length);
  };

  const deadline = performance.now() + peer.verifyWait;
  for (let wait = FIRST_PAUSE; missing.size > 0; wait = Math.min(2 * wait, LONGEST_PAUSE)) {
    await using finder = await open(asked, context.signal);
    const failures: string[] = [];
    for (const [study, items] of missing) {
      const left = await askForStudy(finder, study, items, sent.get(study) ?? items.length, known, proven);
      failures.push(...left.failures);
      if (left.missing.length > 0) missing.set(study, left.missing);
      else missing.delete(study);
    }
    await finder.close();
    if (failures.length > 0) throw queryFailed(failures, asked.address);
    const left = deadline - performance.now();
    if (missing.size === 0 || left <= 0) break;
    await pause(Math.min(wait, left), undefined, { signal: context.signal });
  }

  const code = known.any ? 'NOT_FOUND' : 'UNVERIFIABLE';
  for (const items of missing.values()) {
    for (const { instance } of items) results.push({ instance, state: 'failed', code });
  }
  return { results };
}

type Proven = (items: readonly ToVerify[], level: VerificationLevel) => Promise<void>;

/**
 * Tries the three ways for one study. `missing`: not proven. `failures`: statuses, where some of what is missing was never
 * answered for, so that nobody knows whether it is there.
 */
async function askForStudy(finder: Finder, study: string, items: readonly ToVerify[], sent: number, known: Experience, proven: Proven): Promise<{ missing: ToVerify[]; failures: string[] }> {
  const bySeries = new Map<string, ToVerify[]>();
  for (const item of items) addTo(bySeries, item.seriesInstanceUID, item);
  const failures: string[] = [];
  let missing: ToVerify[] = [];
  let shown = 0;
  for (const [series, wanted] of bySeries) {
    const answers = await finder.find([
      [Tag.QueryRetrieveLevel, 'IMAGE'], [Tag.SOPInstanceUID, ''], [Tag.StudyInstanceUID, study], [Tag.SeriesInstanceUID, series],
    ]);
    const [found, rest] = split(wanted, answers);
    shown += found.length;
    missing.push(...rest);
    if (answers.failure !== undefined && rest.length > 0) failures.push(answers.failure);
    await proven(found, 'C-FIND');
  }
  // Where the hierarchical way shows some of the study it works, and the rest is not there yet.
  if (missing.length === 0 || (shown > 0 && failures.length === 0)) return { missing, failures };

  const ofStudy = await finder.find([[Tag.QueryRetrieveLevel, 'IMAGE'], [Tag.SOPInstanceUID, ''], [Tag.StudyInstanceUID, study]]);
  const [found, rest] = split(missing, ofStudy);
  missing = rest;
  if (ofStudy.failure === undefined) failures.length = 0;
  else failures.push(ofStudy.failure);
  await proven(found, 'C-FIND study');
  if (missing.length === 0 || known.image) return { missing, failures };

  const counted = await finder.find([[Tag.QueryRetrieveLevel, 'STUDY'], [Tag.StudyInstanceUID, study], [Tag.NumberOfStudyRelatedInstances, '']]);
  if (counted.failure === undefined) failures.length = 0;
  else failures.push(counted.failure);
  const count = counted.matches.find((match) => match.get(Tag.StudyInstanceUID) === study)?.get(Tag.NumberOfStudyRelatedInstances) ?? '';
  if (!/^\d+$/.test(count) || Number(count) < sent) return { missing, failures };
  await proven(missing, 'C-FIND count');
  return { missing: [], failures: [] };
}

/** Found and not found, by SOP Instance UID. An answer beyond what was asked for proves nothing and harms nothing. */
function split(wanted: readonly ToVerify[], answers: Answers): [ToVerify[], ToVerify[]] {
  const shown = new Set(answers.matches.map((match) => match.get(Tag.SOPInstanceUID)));
  return [wanted.filter(({ sopInstanceUID }) => shown.has(sopInstanceUID)), wanted.filter(({ sopInstanceUID }) => !shown.has(sopInstanceUID))];
}

/** By what to remember what the queries of a destination, answered by itself or by its query peer, have shown. */
export const queryName = (peer: PacsSettings): string => `${peer.address} ${(peer.queryPeer ?? peer).address}`;

function experienceOf(query: string, before: Shown = { any: false, image: false }): Experience {
  let known = experience.get(query);
  if (known === undefined) experience.set(query, known = { image: false, any: false });
  known.any ||= before.any;
  known.image ||= before.image;
  return known;
}

function queryFailed(failures: readonly string[], destination: string): ExdicomError {
  return new ExdicomError('QUERY_FAILED', { detail: [...new Set(failures)].slice(0, 3).join(', '), destination });
}

function addTo<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
