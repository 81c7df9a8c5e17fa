/**
 * Brings the instances of a job to a destination and proves it: asks the ledger what is left to do, sends that, records
 * every answer, verifies, and says what remains. Run again after any failure it sends only what was not confirmed.
 */
import { ERRORS, ExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import { DestinationHold } from '../ledger/hold';
import type { DestinationInfo, Ledger, PlannedDelivery } from '../ledger/ledger-types';
import type { Delivered, DicomFile, JobToken, VerificationLevel } from '../model';
import { turns } from '../turns';
import { circuits as processCircuits } from './circuit';
import type { Awaiting, Circuits } from './circuit';
import { DeliveryRecord } from './delivery-record';
import type { PacsSettings } from './peer';
import { store } from './store';
import type { StoreResult } from './store';
import { statusText } from './store-status';
import { queryName, verify } from './verify';

export type DeliveryLedger = Awaiting & Pick<Ledger, 'planDeliveries' | 'recordDeliveries' | 'stageFolder' | 'held' | 'begun' | 'shown' | 'rememberShown'>;

export interface DeliverContext {
  readonly signal: AbortSignal;
  /** Instances that are done with, of all that this call has to send and to verify. */
  progress(done: number, total: number): void;
  /** Default: those of the process. */
  readonly circuits?: Circuits;
}

/** From the strongest proof to the weakest. */
const LEVELS: readonly VerificationLevel[] = ['digest', 'C-FIND', 'C-FIND study', 'C-FIND count', 'response'];

/**
 * Delivers files to a PACS.
 * @throws {ExdicomError} with `destination`, while anything may still succeed later; everything is recorded before
 * @throws the signal's reason, or what the ledger threw
 */
export function deliver(ledger: DeliveryLedger, token: JobToken, files: readonly DicomFile[], peer: PacsSettings, context: DeliverContext): Promise<Delivered> {
  return turns.during(`${token.id} to ${peer.address}`, context.signal, () => deliverInTurn(ledger, token, files, peer, context));
}

async function deliverInTurn(ledger: DeliveryLedger, token: JobToken, files: readonly DicomFile[], peer: PacsSettings, context: DeliverContext): Promise<Delivered> {
  const start = performance.now();
  const destination: DestinationInfo = { address: peer.address, label: peer.label, identifiedAllowed: peer.identifiedAllowed };
  const delivery = new Delivery(ledger, token, peer, destination, context, await ledger.planDeliveries(token.id, destination, files));
  try {
    await delivery.send();
    await delivery.verify();
  } catch (thrown) {
    throw thrown instanceof ExdicomError ? thrown.forJob(token.name) : thrown;
  }
  const error = delivery.remaining();
  if (error !== undefined) throw error.forJob(token.name);
  return delivery.delivered(performance.now() - start);
}

/** What is known of one instance at this destination. */
type Standing =
  | { readonly state: 'pending' | 'waiting'; readonly code?: ErrorCode }
  | { readonly state: 'sent' }
  | { readonly state: 'verified'; readonly level: VerificationLevel }
  | { readonly state: 'failed'; readonly code: ErrorCode };

class Delivery {
  readonly #standings = new Map<number, Standing>();
  readonly #files = new Map<number, PlannedDelivery['file']>();
  readonly #warned = new Set<number>();
  /** What the destination answered, in this attempt. */
  readonly #statuses = new Map<number, string>();
  readonly #record: DeliveryRecord;
  readonly #unrecorded = new AbortController();
  readonly #signal: AbortSignal;
  readonly #circuits: Circuits;
  readonly #hold: DestinationHold;
  /** What kept the rest from being tried, or the verification from being made. */
  #failure: ExdicomError | undefined;

  constructor(
    private readonly ledger: DeliveryLedger, private readonly token: JobToken, private readonly peer: PacsSettings, destination: DestinationInfo,
    private readonly context: DeliverContext, plan: readonly PlannedDelivery[],
  ) {
    this.#record = new DeliveryRecord(ledger, token.id, destination, (reason) => { this.#unrecorded.abort(reason); });
    this.#signal = AbortSignal.any([context.signal, this.#unrecorded.signal]);
    this.#circuits = context.circuits ?? processCircuits;
    this.#hold = new DestinationHold(ledger, peer.address);
    for (const planned of plan) {
      const { instance } = planned.file;
      this.#files.set(instance, planned.file);
      this.#standings.set(instance, standingOf(planned));
      if (planned.warned) this.#warned.add(instance);
    }
  }

  /** Sends what was never confirmed; first what has not yet been under way when an association broke. */
  async send(): Promise<void> {
    const pending = [...this.#in('pending', 'waiting')].sort((one, other) => this.#tried(one) - this.#tried(other));
    if (pending.length === 0 && this.#in('sent').length === 0) return;
    await this.#hold.admit(this.token);
    await turns.during(this.peer.address, this.#signal, () => this.#send(pending));
  }

  async #send(pending: readonly number[]): Promise<void> {
    // Much may have changed while it waited for its turn.
    await this.#hold.admit(this.token);
    const refusal = this.#circuits.refusal(this.peer.address, this.ledger);
    if (refusal !== undefined) throw refusal;
    if (pending.length === 0) return;
    const items = pending.map((instance) => {
      const { path, bytes, sopClassUID, sopInstanceUID, transferSyntaxUID } = this.#file(instance);
      return { instance, path, bytes, sopClassUID, sopInstanceUID, transferSyntaxUID };
    });
    const stop = new AbortController();
    try {
      const { failure, associations } = await store(items, this.peer, {
        signal: AbortSignal.any([this.#signal, stop.signal]),
        progress: (done, total) => { this.context.progress(done, total); },
        onResult: (result) => {
          this.#stored(result);
          if (this.#hold.paused) stop.abort(this.#hold.error());
        },
        scratch: () => this.ledger.stageFolder(this.token.id, 'deliver'),
      });
      this.#failure = failure;
      if (associations > 0) this.#circuits.succeeded(this.peer.address);
      else if (failure !== undefined) this.#circuits.failed(this.peer, failure, this.ledger);
    } finally {
      await this.#record.flush();
    }
  }

  /** Proves what was sent, where the response is not proof enough. */
  async verify(): Promise<void> {
    const sent = this.#in('sent');
    // Without a connection there is nobody to ask; what was sent stays sent, and is asked for next time.
    if (sent.length === 0 || (this.#failure?.retryable === true && this.#failure.code !== 'STORE_BUSY')) return;
    if (this.peer.level === 'response') {
      for (const instance of sent) this.#settle(instance, { state: 'verified', level: 'response' });
      await this.#record.flush();
      return;
    }
    // While something waits to be sent again, nobody waits for what does not show yet.
    const patient = this.#in('pending', 'waiting').length === 0;
    const query = queryName(this.peer);
    const before = await this.ledger.shown(query);
    using watch = this.#hold.watch();
    try {
      const { results } = await verify(sent.map((instance) => this.#file(instance)), patient ? this.peer : { ...this.peer, verifyWait: 0 }, {
        signal: AbortSignal.any([this.#signal, watch.signal]),
        progress: (done, total) => { this.context.progress(done, total); },
        onVerified: async (proven) => {
          for (const { instance, level } of proven) this.#settle(instance, { state: 'verified', level: level ?? 'C-FIND' });
          await this.#record.flush();
        },
        onShown: (shown) => this.ledger.rememberShown(query, shown),
        shownBefore: before,
        sentOfStudy: (study) => this.#in('sent', 'verified').filter((instance) => this.#file(instance).studyInstanceUID === study).length,
      });
      if (patient) for (const { instance, state, code } of results) if (state === 'failed' && code !== undefined) this.#unsettled(instance, code);
      if (this.peer.queryPeer === undefined) this.#circuits.succeeded(this.peer.address);
    } catch (thrown) {
      if (!(thrown instanceof ExdicomError) || this.#signal.aborted || watch.signal.aborted) throw thrown;
      // A peer that cannot be asked at all, for good, proves nothing for good.
      if (!thrown.retryable) for (const instance of this.#in('sent')) this.#unsettled(instance, thrown.code);
      else this.#failure ??= thrown;
      if (this.peer.queryPeer !== undefined) return;
      // It answers, if not what was asked; a trial of which nothing is left to send would otherwise tell nobody.
      if (thrown.code === 'QUERY_FAILED') this.#circuits.succeeded(this.peer.address);
      else this.#circuits.failed(this.peer, thrown, this.ledger);
    } finally {
      await this.#record.flush();
    }
  }

  /** The error to end with while something may still succeed; undefined where all that is left is final. */
  remaining(): ExdicomError | undefined {
    const open = this.#in('pending', 'waiting', 'sent');
    if (open.length === 0) return undefined;
    const codes = open.map((instance) => { const standing = this.#standings.get(instance); return standing !== undefined && 'code' in standing ? standing.code : undefined; });
    const code = this.#failure?.code ?? codes.find((found) => found !== undefined) ?? 'PEER_CLOSED';
    const reason = this.#failure?.detail === undefined ? '' : `${this.#failure.detail}; `;
    return new ExdicomError(code, {
      destination: this.peer.address, detail: `${reason}${open.length} of ${this.#standings.size} instances wait`,
      ...(this.#failure?.retryAfter === undefined ? {} : { retryAfter: this.#failure.retryAfter }),
    });
  }

  delivered(milliseconds: number): Delivered {
    const failed: Array<Delivered['failed'][number]> = [];
    let [verified, bytes, weakest] = [0, 0, -1];
    for (const [instance, standing] of this.#standings) {
      if (standing.state === 'failed') {
        const status = this.#statuses.get(instance);
        failed.push({ instance, code: standing.code, ...(status === undefined ? {} : { status }) });
      } else if (standing.state === 'verified') {
        verified += 1;
        bytes += this.#file(instance).bytes;
        weakest = Math.max(weakest, LEVELS.indexOf(standing.level));
      }
    }
    return { verified, level: LEVELS[weakest] ?? 'none', warned: this.#warned.size, failed, bytes, milliseconds: Math.round(milliseconds) };
  }

  #stored(result: StoreResult): void {
    const { instance } = result;
    if (result.kind === 'sent') {
      const status = statusText(result.status);
      this.#statuses.set(instance, status);
      if (result.warned) this.#warned.add(instance);
      const proven: Standing = this.peer.level === 'response' ? { state: 'verified', level: 'response' } : { state: 'sent' };
      this.#settle(instance, proven);
    } else if (result.attempted || !ERRORS[result.code].retryable) {
      this.#unsettled(instance, result.code, result.status === undefined ? undefined : statusText(result.status));
    }
  }

  /** It did not work: for good, or for now. */
  #unsettled(instance: number, code: ErrorCode, status?: string): void {
    if (status === undefined) this.#statuses.delete(instance);
    else this.#statuses.set(instance, status);
    this.#settle(instance, ERRORS[code].retryable ? { state: 'waiting', code } : { state: 'failed', code });
  }

  /** A record replaces the one before, so it says all that is known. */
  #settle(instance: number, standing: Standing): void {
    this.#standings.set(instance, standing);
    const status = this.#statuses.get(instance);
    this.#record.add({ instance, ...standing, warned: this.#warned.has(instance), ...(status === undefined ? {} : { status }) });
  }

  #in(...states: ReadonlyArray<Standing['state']>): number[] {
    return [...this.#standings].filter(([, { state }]) => states.includes(state)).map(([instance]) => instance);
  }

  /** 1 where it was under way when something went wrong. */
  #tried(instance: number): number {
    const standing = this.#standings.get(instance);
    return standing !== undefined && 'code' in standing && standing.code !== undefined ? 1 : 0;
  }

  #file(instance: number): PlannedDelivery['file'] {
    const file = this.#files.get(instance);
    if (file === undefined) throw new ExdicomError('INTERNAL', { detail: 'instance not in the plan' });
    return file;
  }
}

function standingOf({ state, level, code }: PlannedDelivery): Standing {
  switch (state) {
    case 'verified': return { state, level: level ?? 'response' };
    case 'failed': return { state, code: code ?? 'INTERNAL' };
    case 'sent': return { state };
    case 'pending': case 'waiting': return { state, ...(code === undefined ? {} : { code }) };
  }
}
