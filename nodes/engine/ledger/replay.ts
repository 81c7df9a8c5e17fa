/**
 * The one replay: which jobs their sources send again, when, and in which order. Nothing else stores or re-sends a
 * message.
 */
import type { JobId, OwnPath, SourceKey } from '../model';
import { clock } from './core';
import type { LedgerCore, LiveJob } from './core';
import { Destinations } from './destinations';
import type { JobSource } from './ledger-types';
import { standIn } from './stand-in';
import type { JobRow } from './store';

/** Milliseconds in which a source that was attached after the flows had started is taken to be wired. */
const SETTLING = 1000;
/** Milliseconds that a suspect keeps others waiting at most. */
const ALONE = 300_000;
/** Milliseconds without a sign of life after which a suspect is past. */
const SUSPECT_IDLE = 5000;
const LONGEST_TIMER = 2 ** 31 - 1;

interface Attached {
  readonly source: JobSource;
  /** The flows around it have started, so that what it sends arrives. */
  ready: boolean;
}

export class Replay {
  readonly #core: LedgerCore;
  readonly #attached = new Map<SourceKey, Attached[]>();
  #started = false;
  #pumping = false;
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #arming: NodeJS.Immediate | undefined;
  #alone: { readonly job: LiveJob; readonly since: number } | undefined;
  /** Slots that intakes hold before their job is there. */
  reserved = 0;
  readonly destinations: Destinations;

  constructor(core: LedgerCore) {
    this.#core = core;
    this.destinations = new Destinations(core, () => { this.pump(); });
    core.hasSource = (row) => this.#of(row) !== undefined;
    this.destinations.sendable = ({ row }) => this.#sender(row) !== undefined;
  }

  // ---------------------------------------------------------------------------------------------- sources

  attach(source: JobSource): Disposable {
    const attached: Attached = { source, ready: false };
    const same = this.#attached.get(source.sourceKey) ?? [];
    this.#attached.set(source.sourceKey, [...same, attached]);
    this.#core.changed();
    // In the middle of a deploy its wires may lead nowhere yet; flows:started follows at once, or the deploy is over.
    const settled = this.#started ? setTimeout(() => { this.#ready(attached); }, SETTLING).unref() : undefined;
    return {
      [Symbol.dispose]: () => {
        clearTimeout(settled);
        const rest = (this.#attached.get(source.sourceKey) ?? []).filter((other) => other !== attached);
        if (rest.length > 0) this.#attached.set(source.sourceKey, rest);
        else this.#attached.delete(source.sourceKey);
        this.#core.changed();
      },
    };
  }

  /**
   * The node that took a job in, whatever its source key is now; else those attached under the job's source key, or the one
   * that stands in for a node that was imported anew or moved.
   */
  #of({ sourceKey, node }: JobRow): readonly Attached[] | undefined {
    const own = node === undefined ? [] : this.#withNode(node);
    if (own.length > 0) return own;
    const attached = this.#attached.get(sourceKey);
    if (attached !== undefined) return attached;
    const found = standIn('message', sourceKey, this.#attached.keys());
    return found === undefined ? undefined : this.#attached.get(found);
  }

  #withNode(node: string): readonly Attached[] {
    return [...this.#attached.values()].flat().filter(({ source }) => source.node === node);
  }

  /** Whether the source node of this id is there. */
  hasNode(node: string): boolean {
    return this.#withNode(node).length > 0;
  }

  source(row: JobRow): JobSource | undefined {
    return this.#of(row)?.at(-1)?.source;
  }

  #sender(row: JobRow): JobSource | undefined {
    return this.#of(row)?.findLast(({ ready }) => ready)?.source;
  }

  #ready(attached: Attached): void {
    if (attached.ready) return;
    attached.ready = true;
    this.#adopt(attached.source.sourceKey);
    this.onAdopted(attached.source.sourceKey);
    this.pump();
  }

  /** Called when a source can be used from now on. */
  onAdopted: (key: SourceKey) => void = () => undefined;

  /** Called for a due job that would be refused; true: it is to be sent all the same. Else it is due later. */
  onRefused: (job: LiveJob) => Promise<boolean> = () => Promise.resolve(true);

  get hasStarted(): boolean {
    return this.#started;
  }

  /** Node-RED's `flows:started`. */
  started(): void {
    this.#started = true;
    for (const same of this.#attached.values()) for (const attached of same) attached.ready = true;
    if (!this.#core.ready) return;
    for (const key of this.#attached.keys()) {
      this.#adopt(key);
      this.onAdopted(key);
    }
    this.pump();
    // A message on its way to a node that was just replaced is gone, and nobody saw it go.
    for (const job of this.#core.jobs.values()) if (job.row.state === 'open' && job.sentHere) job.deployedAt = clock();
  }

  /** Time has passed: what may have lost a message, and of which nothing was heard since, is sent again. */
  tick(): void {
    for (const job of this.#core.jobs.values()) {
      const { state, doomed } = job.row;
      if (state !== 'open' || doomed || job.visits.size > 0 || this.#core.idle(job) <= this.#core.settings.quiet) continue;
      if (job.interrupted || (job.deployedAt !== undefined && job.activeAt <= job.deployedAt)) job.wantsSend = true;
    }
    this.pump();
  }

  #adopt(key: SourceKey): void {
    for (const job of this.#core.jobs.values()) {
      if (this.source(job.row)?.sourceKey !== key) continue;
      const { state, doomed } = job.row;
      // A deploy may have brought the password.
      if (state === 'needs-password') job.wantsSend = true;
      if (state !== 'open' || doomed) continue;
      if (job.interrupted || !job.sentHere || (job.visits.size === 0 && this.#core.idle(job) > this.#core.settings.quiet)) job.wantsSend = true;
    }
  }

  // ---------------------------------------------------------------------------------------------- sending

  /** Whether a job works now. Forgotten, orphaned and waiting ones hold no slot. */
  #runs(job: LiveJob): boolean {
    const { state, kind } = job.row;
    if (state === 'closing') return job.closing;
    // A study that comes in over time may take an hour; it takes its slot when it is complete.
    if (state === 'receiving') return kind !== 'received';
    if (state !== 'open') return false;
    return job.visits.size > 0 || (job.sentHere && this.#core.idle(job) <= this.#core.settings.quiet);
  }

  running(): number {
    let running = this.reserved;
    for (const job of this.#core.jobs.values()) if (this.#runs(job)) running += 1;
    return running;
  }

  /** Due retries and suspects go before new intake. */
  get holdsIntake(): boolean {
    return this.#suspectAlone() !== undefined || this.#waiting().length > 0 || this.#suspectComing();
  }

  /** A suspect whose source is about to send it: with others beside it nobody would learn anything. */
  #suspectComing(): boolean {
    for (const { row, sentHere } of this.#core.jobs.values()) {
      const { state, doomed, crashes, sourceKey } = row;
      if (state === 'open' && !doomed && crashes > 0 && !sentHere && this.#of(row) !== undefined && this.#core.holds.sends(sourceKey)) return true;
    }
    return false;
  }

  #waiting(): LiveJob[] {
    const now = clock();
    const waiting: LiveJob[] = [];
    for (const job of this.#core.jobs.values()) {
      const { state, doomed, sourceKey } = job.row;
      if (doomed || job.visits.size > 0 || job.notBefore > now || this.#sender(job.row) === undefined || !this.#core.holds.sends(sourceKey)) continue;
      const due = isDue(job, now) && this.destinations.refuses(job) === undefined;
      if (due || (job.wantsSend && (state === 'open' || state === 'needs-password' || state === 'parked'))) waiting.push(job);
    }
    return waiting.toSorted((a, b) => a.row.n - b.row.n);
  }

  #suspectAlone(): LiveJob | undefined {
    const alone = this.#alone;
    if (alone === undefined) return undefined;
    const { job, since } = alone;
    const over = job.row.state !== 'open' || job.row.crashes === 0 || clock() - since > ALONE
      || (job.visits.size === 0 && this.#core.idle(job) > SUSPECT_IDLE) || !this.#core.jobs.has(job.row.id);
    if (over) this.#alone = undefined;
    return this.#alone?.job;
  }

  /** Parks are due by the monotonic clock: the other one may jump by a day. */
  schedule(job: LiveJob): void {
    const { state, nextAt, updatedAt } = job.row;
    job.dueAt = state === 'parked' && nextAt !== undefined ? clock() + Math.min(Math.max(0, nextAt - Date.now()), Math.max(0, nextAt - updatedAt)) : undefined;
    // Looks at all of them, so once for what comes in one turn: thousands, when the ledger opens.
    this.#arming ??= setImmediate(() => { this.#arm(); }).unref();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#arming);
    this.#arming = undefined;
    let next = this.#alone === undefined ? Number.POSITIVE_INFINITY : clock() + 1000;
    for (const job of this.#core.jobs.values()) {
      if (job.dueAt !== undefined && job.dueAt < next && this.destinations.refuses(job) !== 'held') next = job.dueAt;
    }
    if (next === Number.POSITIVE_INFINITY || this.#core.closed) return;
    // Due ones that cannot go yet are looked at again when something changes, and now and then.
    const wait = Math.min(LONGEST_TIMER, Math.max(next - clock(), next <= clock() ? 1000 : 1));
    this.#timer = setTimeout(() => { this.pump(); }, wait).unref();
  }

  /** Sends what may be sent now. Called whenever that may have become more. */
  pump(): void {
    if (this.#pumping) {
      this.#again = true;
      return;
    }
    this.#pumping = true;
    void (async () => {
      try {
        do {
          this.#again = false;
          if (this.#started && this.#core.ready) await this.#postpone();
          while (this.#started && this.#core.ready && await this.#sendNext());
        } while (this.#again);
      } finally {
        this.#pumping = false;
        this.#arm();
      }
    })().catch(() => { /* The store failed: its status says so, and the next change tries again. */ });
  }

  /** Due jobs whose destinations do not answer stay where they are, until it is their last try. */
  async #postpone(): Promise<void> {
    const now = clock();
    const due = [...this.#core.jobs.values()].filter((job) => isDue(job, now) && !job.wantsSend && !job.row.doomed && this.destinations.refuses(job) === 'down');
    await Promise.all(due.map(async (job) => { if (await this.onRefused(job)) job.wantsSend = true; }));
  }

  async #sendNext(): Promise<boolean> {
    // On a full disk one at a time goes on: it may be the one that makes room.
    const slots = this.#core.paused !== undefined ? 1 : this.#core.settings.slots;
    if (this.#suspectAlone() !== undefined || this.running() >= slots) return false;
    const waiting = this.#waiting();
    const job = waiting.find(({ row }) => row.crashes > 0) ?? waiting[0];
    if (job === undefined) return false;
    if (job.row.crashes > 0 && this.running() === 0) this.#alone = { job, since: clock() };
    await this.#send(job);
    return true;
  }

  async #send(job: LiveJob): Promise<void> {
    const core = this.#core;
    const row = await core.store.sent(job.row.id);
    core.update(job, row);
    // A person cancelled it meanwhile.
    if (row.state !== 'open') return;
    Object.assign(job, { wantsSend: false, interrupted: false, deployedAt: undefined, sentHere: true, dueAt: undefined, newPassword: false });
    const sender = this.#sender(row);
    // Its source may have gone while this was written down; the next one sends it.
    if (sender === undefined) job.wantsSend = true;
    else sender.send(core.token(row), row.path ?? core.workFolder(row.id), row.topic);
  }

  /** The first time through the flow is the source's own doing. */
  taken(job: LiveJob): OwnPath {
    job.sentHere = true;
    job.activeAt = clock();
    return job.row.path ?? this.#core.workFolder(job.row.id);
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#arming);
  }

  forget(id: JobId): void {
    if (this.#alone?.job.row.id === id) this.#alone = undefined;
  }
}

const isDue = ({ row: { state }, dueAt }: LiveJob, now: number): boolean => state === 'parked' && dueAt !== undefined && dueAt <= now;
