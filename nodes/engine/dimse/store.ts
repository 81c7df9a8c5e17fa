/**
 * C-STORE SCU: sends instances to a peer and keeps an account of each (PS3.4, B). An instance counts as sent only by its
 * own response with a success or warning status; whatever else happens leaves it unsent, with the code of what happened.
 * An A-ABORT is mostly about the one instance under way, so the others go over a new association; any other break ends the
 * sending, and what has no answer is left to the next attempt.
 */
import { ExdicomError, toExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import { planContexts } from './contexts';
import type { ContextGroup } from './contexts';
import type { KnownFile } from './part10-file';
import type { PacsSettings } from './peer';
import { openSendable } from './sendable-file';
import { LocalReadError, StoreSession } from './store-session';
import type { Outgoing } from './store-session';
import { judgeStoreStatus } from './store-status';

export interface StoreItem extends KnownFile {
  readonly instance: number;
  readonly sopClassUID: string;
  readonly sopInstanceUID: string;
  readonly transferSyntaxUID: string;
}

export type StoreResult =
  | { readonly instance: number; readonly kind: 'sent'; readonly status: number; readonly warned: boolean }
  | {
      readonly instance: number;
      readonly kind: 'unsent';
      readonly code: ErrorCode;
      /** Where the peer answered. */
      readonly status?: number;
      /** Whether it was this instance that was under way, or only waiting for its turn, when it happened. */
      readonly attempted: boolean;
    };

export interface StoreContext {
  readonly signal: AbortSignal;
  /** Called once for each instance, in the order in which they are decided. */
  onResult(result: StoreResult): void;
  progress(done: number, total: number): void;
  /** A folder of ours for what must be rewritten before it is sent; asked for only then. Without it, such instances stay unsent. */
  readonly scratch?: () => Promise<string>;
}

export interface StoreSummary {
  readonly sent: number;
  readonly warned: number;
  readonly unsent: number;
  /** Bytes of the files that were sent. */
  readonly bytes: number;
  readonly milliseconds: number;
  /** Associations that were accepted. */
  readonly associations: number;
  /** What kept the rest from being tried. */
  readonly failure?: ExdicomError;
}

/** So many "out of resources", or so many aborts, in a row, and the rest is not offered. */
const HOPELESS = 5;

/**
 * Sends instances.
 * @throws the signal's reason, when it is aborted: sockets are closed then, and instances without a result are unsent
 */
export async function store(items: readonly StoreItem[], peer: PacsSettings, context: StoreContext): Promise<StoreSummary> {
  context.signal.throwIfAborted();
  const run = new StoreRun(items.length, peer, context);
  for (const item of items) if (!hasUids(item)) run.refuse(item);
  for (const group of planContexts(items.filter(hasUids))) await run.send(group);
  context.signal.throwIfAborted();
  return run.summary();
}

/** A UID has 1 to 64 characters (PS3.5, 9.1). Peers abort over a longer one, and with it over all that wait behind it. */
function hasUids({ sopClassUID, sopInstanceUID, transferSyntaxUID }: StoreItem): boolean {
  return [sopClassUID, sopInstanceUID, transferSyntaxUID].every((uid) => /^[\x21-\x7e]{1,64}$/.test(uid));
}

const isAbort = (thrown: unknown): thrown is ExdicomError => thrown instanceof ExdicomError && thrown.code === 'PEER_ABORTED';

interface Ready {
  readonly item: StoreItem;
  readonly outgoing: Outgoing;
}

class StoreRun {
  readonly #started = performance.now();
  #queue: StoreItem[] = [];
  /** Associations that take from the queue. */
  #sessions = 0;
  #accepted = 0;
  #failure: ExdicomError | undefined;
  #busyInARow = 0;
  #abortsInARow = 0;
  /** Instances over which the peer aborted an association, and how many others were sent by then. */
  #setAside: Array<{ readonly item: StoreItem; readonly sentBefore: number }> = [];
  #sent = 0;
  #warned = 0;
  #unsent = 0;
  #bytes = 0;

  constructor(private readonly total: number, private readonly peer: PacsSettings, private readonly context: StoreContext) {}

  /** Nothing can be asked for it. */
  refuse(item: StoreItem): void {
    this.#leave(item, 'DICOM_INCOMPLETE', true);
  }

  /** Sends a group over as many associations as the peer takes, up to the setting. */
  async send(group: ContextGroup<StoreItem>): Promise<void> {
    // Taken from its end, so that one given back is the next.
    this.#queue = group.items.toReversed();
    while (this.#queue.length > 0 && this.#failure === undefined && !this.context.signal.aborted) {
      const first = await this.#open(group);
      if (first === undefined) break;
      const others = Math.min(this.peer.associations, this.#queue.length) - 1;
      await Promise.all([this.#work(group, first), ...Array.from({ length: others }, () => this.#help(group))]);
    }
    await this.#sendAlone(group);
    if (this.context.signal.aborted) return;
    for (const { item } of this.#setAside.splice(0)) this.#leave(item, this.#failure?.code ?? 'PEER_ABORTED', true);
    for (const item of this.#queue.splice(0).toReversed()) this.#leave(item, this.#failure?.code ?? 'INTERNAL', false);
  }

  /**
   * What the peer aborted over, each over an association of its own. One that aborts again, while others were taken in
   * between, is refused: the rest of a study must not wait for it for ever.
   */
  async #sendAlone(group: ContextGroup<StoreItem>): Promise<void> {
    while (this.#setAside.length > 0 && this.#failure === undefined && !this.context.signal.aborted) {
      const session = await this.#open(group);
      const suspect = session === undefined ? undefined : this.#setAside.shift();
      if (session === undefined || suspect === undefined) return;
      this.#queue.push(suspect.item);
      const ready = await this.#next(session);
      if (ready === undefined) {
        await session.release();
        continue;
      }
      using outgoing = ready.outgoing;
      try {
        this.#answered(suspect.item, await session.send(outgoing));
        await session.release();
      } catch (thrown) {
        await session.abort();
        if (!isAbort(thrown) || this.context.signal.aborted) {
          this.#interrupted(suspect.item, thrown);
        } else if (this.#sent > suspect.sentBefore) {
          session.acquitNudge();
          this.#leave(suspect.item, 'STORE_REFUSED', true);
        } else {
          this.#failed(thrown);
          this.#leave(suspect.item, 'PEER_ABORTED', true);
        }
      }
    }
  }

  summary(): StoreSummary {
    return {
      sent: this.#sent, warned: this.#warned, unsent: this.#unsent, bytes: this.#bytes,
      milliseconds: performance.now() - this.#started, associations: this.#accepted,
      ...(this.#failure === undefined ? {} : { failure: this.#failure }),
    };
  }

  /** A session, or nothing and the reason in `#failure`. */
  async #open(group: ContextGroup<StoreItem>): Promise<StoreSession | undefined> {
    try {
      const session = await StoreSession.open(group.contexts, this.peer, this.context.signal);
      this.#accepted += 1;
      return session;
    } catch (thrown) {
      this.#failed(thrown);
      return undefined;
    }
  }

  /** One more association; a peer that takes fewer than we would like is served by those it takes. */
  async #help(group: ContextGroup<StoreItem>): Promise<void> {
    let session: StoreSession;
    try {
      session = await StoreSession.open(group.contexts, this.peer, this.context.signal);
    } catch {
      return;
    }
    this.#accepted += 1;
    await this.#work(group, session);
  }

  /** Sends from the queue until it is empty, or the association is of no more use. Never throws. */
  async #work(group: ContextGroup<StoreItem>, first: StoreSession): Promise<void> {
    let session: StoreSession | undefined = first;
    while (session !== undefined) session = await this.#drain(session) === 'reopen' ? await this.#open(group) : undefined;
  }

  async #drain(session: StoreSession): Promise<'done' | 'reopen'> {
    this.#sessions += 1;
    let current = await this.#next(session);
    while (current !== undefined) {
      const { item, outgoing } = current;
      const sending = session.send(outgoing);
      // The next file is opened while the peer works on this one.
      const following = this.#announced(session);
      let status: number;
      try {
        status = await sending;
      } catch (thrown) {
        outgoing[Symbol.dispose]();
        this.#giveBack(await following);
        this.#sessions -= 1;
        await session.abort();
        return this.#interrupted(item, thrown);
      }
      outgoing[Symbol.dispose]();
      const busy = this.#answered(item, status);
      // Another association may have given an instance back meanwhile.
      current = await following ?? await this.#next(session);
      // Fewer associations may be what a peer short of resources needs.
      if (current !== undefined && this.#ends(busy) && !session.committed(current.outgoing)) {
        this.#giveBack(current);
        break;
      }
    }
    this.#sessions -= 1;
    await session.release();
    return 'done';
  }

  #ends(busy: boolean): boolean {
    return this.context.signal.aborted || this.#busyInARow >= HOPELESS || (busy && this.#sessions > 1);
  }

  /** The next instance that can be sent over this association, its file open. Those that cannot are told of on the way. */
  async #next(session: StoreSession): Promise<Ready | undefined> {
    for (;;) {
      if (this.context.signal.aborted || this.#busyInARow >= HOPELESS) return undefined;
      const item = this.#queue.pop();
      if (item === undefined) return undefined;
      const chosen = session.choose(item);
      if (chosen === undefined) {
        this.#leave(item, 'NO_CONTEXT', true);
        continue;
      }
      try {
        return { item, outgoing: session.prepare(item, chosen.id, await openSendable(item, chosen.encoding, this.context)) };
      } catch (thrown) {
        if (this.context.signal.aborted) return undefined;
        this.#leave(item, toExdicomError(thrown).code, true);
      }
    }
  }

  async #announced(session: StoreSession): Promise<Ready | undefined> {
    const following = await this.#next(session);
    if (following !== undefined) session.announce(following.outgoing);
    return following;
  }

  #giveBack(ready: Ready | undefined): void {
    if (ready === undefined) return;
    ready.outgoing[Symbol.dispose]();
    this.#queue.push(ready.item);
  }

  /** Judges a response; answers whether the peer is short of resources. */
  #answered(item: StoreItem, status: number): boolean {
    const verdict = judgeStoreStatus(status);
    if (verdict.kind === 'stored') {
      this.#busyInARow = 0;
      this.#abortsInARow = 0;
      this.#sent += 1;
      this.#bytes += item.bytes;
      if (verdict.warned) this.#warned += 1;
      this.#tell({ instance: item.instance, kind: 'sent', status, warned: verdict.warned });
      return false;
    }
    const busy = verdict.code === 'STORE_BUSY';
    this.#busyInARow = busy ? this.#busyInARow + 1 : 0;
    if (this.#busyInARow >= HOPELESS) this.#failure = new ExdicomError('STORE_BUSY', { destination: this.peer.address, detail: `${HOPELESS} times in a row` });
    this.#leave(item, verdict.code, true, status);
    return busy;
  }

  /** A message broke off; a bad file of ours costs only itself. */
  #interrupted(item: StoreItem, thrown: unknown): 'done' | 'reopen' {
    if (thrown instanceof LocalReadError) {
      this.#leave(item, thrown.error.code, true);
      return this.context.signal.aborted ? 'done' : 'reopen';
    }
    if (this.context.signal.aborted) return 'done';
    if (isAbort(thrown)) {
      this.#setAside.push({ item, sentBefore: this.#sent });
      this.#abortsInARow += 1;
      if (this.#abortsInARow < HOPELESS) return 'reopen';
      this.#failed(thrown);
      return 'done';
    }
    this.#failed(thrown);
    this.#leave(item, toExdicomError(thrown).code, true);
    return 'done';
  }

  #failed(thrown: unknown): void {
    if (this.context.signal.aborted) return;
    this.#failure = toExdicomError(thrown, { destination: this.peer.address });
  }

  #leave(item: StoreItem, code: ErrorCode, attempted: boolean, status?: number): void {
    this.#unsent += 1;
    this.#tell({ instance: item.instance, kind: 'unsent', code, attempted, ...(status === undefined ? {} : { status }) });
  }

  #tell(result: StoreResult): void {
    this.context.onResult(result);
    this.context.progress(this.#sent + this.#unsent, this.total);
  }
}
