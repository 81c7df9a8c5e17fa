/** One request, asked of the ledger or done by it, and its answer. */
import { inCharacterSets } from '../engine/deid/character-sets';
import { loadKey, keyName } from '../engine/deid/key';
import { mapUid, pseudonym, identityParts } from '../engine/deid/keyed';
import { ExdicomError } from '../engine/errors';
import type { JobId } from '../engine/model';
import type { HoldTarget, Ledger, Marks } from '../engine/ledger/ledger-types';
import type { ProfileUse } from '../runtime/profile';
import { counts, holdSummary, quarantinedSummary, report, summary } from './answers';
import type { JobsAnswers } from './answers';
import type { Request } from './request';

export interface Means {
  readonly ledger: Ledger;
  /** Recorded with an act. */
  readonly who: string | undefined;
  /** The profile of the dialog. @throws {ExdicomError} CONFIG_INVALID where none is chosen. */
  readonly profile: () => ProfileUse;
}

/** Statuses, errors and folders show a job's name, `folder-in 0042`, which no id looks like. */
async function idOf(job: JobId, ledger: Ledger): Promise<JobId> {
  return / \d+$/.test(job) ? await ledger.jobNamed(job) ?? job : job;
}

/** The same request with the id of the job, where it gives the name. */
async function withId(request: Request, ledger: Ledger): Promise<Request> {
  if (request.action === 'retry-now') return typeof request.what === 'string' ? { ...request, what: await idOf(request.what, ledger) } : request;
  return 'job' in request && request.job !== undefined ? { ...request, job: await idOf(request.job, ledger) } : request;
}

/** @throws {ExdicomError} what the ledger throws; JOB_STATE for the receipt of a job that is not closed. */
export async function perform(asked: Request, { ledger, who, profile }: Means): Promise<JobsAnswers[Request['action']]> {
  const one = async (id: JobId): Promise<{ readonly job: ReturnType<typeof summary> }> => ({ job: summary(await ledger.job(id)) });
  const holds = async (): Promise<JobsAnswers['pause']> => ({ holds: (await ledger.holds()).map(holdSummary) });

  const request = await withId(asked, ledger);
  switch (request.action) {
    case 'list': {
      const { limit, offset } = request.filter;
      const jobs = await ledger.jobs({ ...request.filter, limit: limit + 1 });
      return { jobs: jobs.slice(0, limit).map(summary), offset, more: jobs.length > limit };
    }
    case 'job': return report(await ledger.details(request.job));
    case 'receipt': {
      const receipt = await ledger.receipt(request.job);
      if (receipt !== undefined) return receipt;
      const { name } = await ledger.job(request.job);
      throw new ExdicomError('JOB_STATE', { job: name, detail: 'a job has a receipt when it is closed' });
    }
    case 'counts': return counts(await ledger.counts());
    case 'find': return { jobs: (await ledger.find(await marksOf(request, ledger, profile()))).map(summary) };
    case 'quarantine': return { files: (await ledger.quarantine(request.job === undefined ? {} : { job: request.job })).map(quarantinedSummary) };
    case 'send-again': return { job: summary(await ledger.sendAgain(request.job, who)) };
    case 'cancel': await ledger.cancel(request.job, who); return one(request.job);
    case 'retry-now': return { due: await ledger.retryNow(request.what, who) };
    case 'password': await ledger.password(request.job, request.password, who); return one(request.job);
    case 'release': return one((await ledger.release(request.job, request.instances, request.profile, who)).id);
    case 'discard': return { discarded: await ledger.discard(request.job, request.instances, who) };
    case 'pause': case 'drain': await checkTarget(request.target, ledger); await ledger.hold(request.target, request.action, who); return holds();
    case 'resume': await ledger.resume(request.target, who); return holds();
  }
}

/**
 * Whoever mistypes a name must not believe that something is held. An address or source key is taken as it is: nothing may
 * have come from there, or gone there, yet.
 * @throws {ExdicomError} REQUEST_INVALID
 */
async function checkTarget(target: HoldTarget, ledger: Ledger): Promise<void> {
  const name = 'source' in target ? target.source : target.destination;
  if (/^[a-z-]+:./.test(name)) return;
  const known = 'source' in target ? [] : (await ledger.counts()).destinations;
  if (!known.some(({ label }) => label === name)) {
    throw new ExdicomError('REQUEST_INVALID', { detail: 'source' in target ? 'source: not a source key, such as folder:/data/inbox' : 'destination: the ledger knows none of this name yet; give its address' });
  }
}

/**
 * What the profile's key makes of what is looked for. A file that names no issuer was de-identified under its source's, or
 * under none, so both are looked for where an issuer is given. What a file says is known by its bytes, in whatever character set.
 * @throws {ExdicomError} REQUEST_INVALID for a patient where the key was thrown away with each job; what `loadKey` throws.
 */
async function marksOf(wanted: Extract<Request, { action: 'find' }>, ledger: Ledger, { profile: { scope }, key: sources }: ProfileUse): Promise<Marks> {
  const uid = 'uid' in wanted ? { uid: wanted.uid } : {};
  if (sources === undefined && !('uid' in wanted)) throw new ExdicomError('REQUEST_INVALID', { detail: 'the profile keeps no key by which a patient could be found' });
  // A ledger that has de-identified nothing under this key has nothing to find, and to look must not make a key.
  if (sources === undefined || !(await ledger.knowsKey(keyName(scope)))) return { keyed: [], ...uid };
  const key = await loadKey(sources, scope, ledger);
  if ('uid' in wanted) return { keyed: [mapUid(key, scope, wanted.uid)], ...uid };
  const issuers = inCharacterSets(wanted.issuer);
  const keyed = new Set<string>();
  for (const [set, patientId] of inCharacterSets(wanted.patientId)) {
    // The file's own issuer is in its character set, that of a source as it was typed.
    for (const issuer of [wanted.issuer, issuers.get(set) ?? '', '']) {
      const identity = identityParts({ issuer, patientId, studyInstanceUID: '' });
      if (identity !== undefined) keyed.add(pseudonym(key, scope, 'patient', identity));
    }
  }
  return { keyed: [...keyed] };
}
