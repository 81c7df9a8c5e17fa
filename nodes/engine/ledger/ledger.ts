/** The ledger: its parts put together behind the one contract that nodes know. */
import { createHash } from 'node:crypto';
import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { ExdicomError, toExdicomError } from '../errors';
import type { ErrorCode, Stage } from '../errors';
import type { DicomFile, JobId, JobToken, OwnPath, SourceKey } from '../model';
import { Acting } from './acting';
import { numberFiles } from './numbering';
import { Asking } from './asking';
import { Closing } from './closing';
import { LedgerCore, jobOf } from './core';
import type { LiveJob } from './core';
import { DeliveryRecords } from './deliveries';
import { takeTurn } from './directory-turn';
import type { DirectoryTurn } from './directory-turn';
import { ExtractionRecords } from './extraction';
import { Failing } from './failing';
import { IntakeDesk } from './intake';
import type {
  DestinationInfo, DeliveryResult, Failure, Finisher, FinishRule, FoundEntry, Hold, HoldMode, HoldTarget, Intake, Job, JobDetails, JobFilter, JobSource, Ledger,
  LedgerCounts, LedgerFolders, LedgerSettings, LedgerStatus, Marks, Parked, Preparation, QuarantinedFile, Receipt, RetryPolicy, Room, Shown, SpooledItem, Visit,
} from './ledger-types';
import { PreparationRecords } from './preparation';
import { Presence } from './presence';
import { Quarantine } from './quarantine';
import { Releasing } from './releasing';
import { Replay } from './replay';
import { openStore } from './store-client';
import type { StoreClient } from './store-client';
import { makeFolders, Upkeep } from './upkeep';

/** Milliseconds that the store's thread has to end in an orderly way; `close` promises 3 s. */
const CLOSE_PATIENCE = 2500;

/** A ledger over SQLite in `settings.directory`. Nothing touches the disk before `open()`. */
export function createLedger(id: string, settings: LedgerSettings): Ledger {
  return new SqliteLedger(id, settings);
}

class SqliteLedger implements Ledger {
  readonly #core: LedgerCore;
  readonly #replay: Replay;
  readonly #presence: Presence;
  readonly #quarantine: Quarantine;
  readonly #failing: Failing;
  readonly #desk: IntakeDesk;
  readonly #extraction: ExtractionRecords;
  readonly #preparation: PreparationRecords;
  readonly #deliveries: DeliveryRecords;
  readonly #closing: Closing;
  readonly #releasing: Releasing;
  readonly #upkeep: Upkeep;
  readonly #asking: Asking;
  readonly #acting: Acting;
  readonly #configurations = new Map<string, string>();
  #opening: Promise<void> | undefined;
  #ending: Promise<void> | undefined;
  #turn: DirectoryTurn | undefined;

  constructor(readonly id: string, readonly settings: LedgerSettings) {
    const core = this.#core = new LedgerCore(id, settings);
    const configuration = (): string => this.#configuration();
    this.#replay = new Replay(core);
    this.#quarantine = new Quarantine(core);
    this.#closing = new Closing(core, this.#replay, configuration, this.#quarantine);
    this.#presence = new Presence(core, (node) => this.#closing.isFinisher(node), (job, settled) => { this.#left(job, settled); });
    this.#failing = new Failing(core, this.#replay, this.#quarantine, (job) => { void this.#closing.look(job); });
    this.#desk = new IntakeDesk(core, this.#replay, configuration, (job) => { this.#closing.run(job); });
    this.#releasing = new Releasing(core, this.#quarantine, this.#desk);
    this.#extraction = new ExtractionRecords(core, this.#quarantine);
    this.#preparation = new PreparationRecords(core, this.#quarantine);
    this.#deliveries = new DeliveryRecords(core, this.#quarantine);
    this.#upkeep = new Upkeep(core, this.#desk, this.#quarantine);
    this.#replay.onRefused = (job) => this.#failing.refused(job);
    this.#replay.destinations.held = (address) => this.held({ destination: address });
    core.circuits = () => this.#replay.destinations.circuits;
    this.#asking = new Asking(core, (job) => this.quarantine({ job }));
    this.#acting = new Acting({
      core, replay: this.#replay, close: (job) => { this.#closing.run(job); }, takeAgain: (closed, original, again) => this.#desk.takeAgain(closed, original, again),
    });
    this.#replay.onAdopted = (key) => { this.#adopted(key); };
  }

  get folders(): LedgerFolders {
    return this.#core.folders;
  }

  // ---------------------------------------------------------------------------------------------- opening and closing

  open(): Promise<void> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  async #open(): Promise<void> {
    const core = this.#core;
    let client: StoreClient | undefined;
    try {
      const goOn = (): void => { if (core.closed) throw new ExdicomError('LEDGER_CLOSED'); };
      goOn();
      await mkdir(core.folders.root, { recursive: true, mode: 0o700 });
      // Whatever it is called by: to open the lock of an open ledger once more would undo it for other processes.
      this.#turn = await takeTurn(await realpath(core.folders.root), () => core.closed);
      goOn();
      await makeFolders(core);
      client = await openStore({ directory: core.folders.root, journal: this.settings.journal });
      goOn();
      const { jobs, condemned } = await client.store.start();
      for (const row of jobs) this.#replay.schedule(core.add(row));
      core.holds.load(await client.store.holds());
      for (const job of core.jobs.values()) this.#replay.destinations.parked(job);
      // A deploy may have come while the store looked: from here on closing it is closing's own.
      goOn();
      core.opened(client);
      await this.#quarantine.flush();
      await this.#upkeep.sweep();
      for (const id of condemned) await this.#failing.condemn(core.live(id), 'ledger');
      goOn();
      this.#upkeep.start(() => { this.#tick(); });
      if (this.#replay.hasStarted) this.started();
    } catch (thrown) {
      const error = toExdicomError(thrown, { stage: 'ledger' });
      core.failed(error);
      await client?.close(CLOSE_PATIENCE);
      if (!core.closed) this.#turn?.end();
      this.#opening = undefined;
      throw error;
    }
  }

  close(): Promise<void> {
    this.#ending ??= this.#close();
    return this.#ending;
  }

  async #close(): Promise<void> {
    this.#turn?.closing();
    const store = this.#core.ready ? this.#core.store : undefined;
    const stopped = store?.stop().catch(() => undefined);
    const client = this.#core.end();
    this.#replay.stop();
    this.#closing.stop();
    this.#upkeep.stop();
    await this.#opening?.catch(() => undefined);
    await stopped;
    await client?.close(CLOSE_PATIENCE);
    this.#turn?.end();
  }

  status(): LedgerStatus {
    return this.#core.status();
  }

  onStatus(listener: (status: LedgerStatus) => void): Disposable {
    return this.#core.onStatus(listener);
  }

  #tick(): void {
    this.#replay.tick();
    this.#core.changed();
  }

  // ---------------------------------------------------------------------------------------------- sources

  attachSource(source: JobSource): Disposable {
    return this.#replay.attach(source);
  }

  started(): void {
    this.#replay.started();
    if (!this.#core.ready) return;
    this.#closing.resume().catch(() => { /* The store failed; the status says so. */ });
  }

  #adopted(key: SourceKey): void {
    for (const job of this.#core.jobs.values()) if (this.#replay.source(job.row)?.sourceKey === key && job.row.state === 'closing') this.#closing.run(job);
  }

  async origins(sourceKey: SourceKey) {
    return (await this.#core.store.origins(sourceKey)).map(({ job, origin }) => ({ job, origin: JSON.parse(origin) as unknown }));
  }

  room(sourceKey?: SourceKey): Promise<Room> {
    return this.#desk.room(sourceKey);
  }

  putBack(sourceKey: SourceKey, origin: unknown): Promise<JobId | undefined> {
    return this.#desk.putBack(sourceKey, origin);
  }

  letGo(sourceKey: SourceKey, origin: unknown): Promise<void> {
    return this.#core.store.letGo(sourceKey, JSON.stringify(origin));
  }

  take(intake: Intake, signal: AbortSignal) {
    return this.#desk.take(intake, signal);
  }

  receive(intake: Omit<Intake, 'items'> & { readonly study: string }) {
    return this.#desk.receive(intake);
  }

  addReceived(job: JobId, item: Parameters<Ledger['addReceived']>[1]): Promise<void> {
    return this.#desk.addReceived(job, item);
  }

  completeReceived(job: JobId) {
    return this.#desk.completeReceived(job);
  }

  receiving(sourceKey: SourceKey, node?: string) {
    return Promise.resolve(this.#desk.receiving(sourceKey, node));
  }

  // ---------------------------------------------------------------------------------------------- stages

  enter(token: JobToken, node: string): Visit {
    return this.#presence.enter(token, node);
  }

  #left(job: LiveJob, settled: readonly Stage[]): void {
    if (!this.#core.ready) return;
    for (const stage of settled) this.#core.store.settled(job.row.id, stage).catch(() => undefined);
    if (job.visits.size === 0) this.#replay.pump();
    if (job.row.outcome === 'cancelled') this.#closing.run(job);
    else if (job.row.doomed || job.row.finishNode !== undefined) void this.#closing.look(job);
  }

  async job(id: JobId): Promise<Job> {
    const row = this.#core.jobs.get(id)?.row ?? await this.#core.store.job(id);
    if (row === undefined) throw new ExdicomError('JOB_UNKNOWN');
    return jobOf(row);
  }

  jobNamed(name: string): Promise<JobId | undefined> {
    return this.#core.store.jobNamed(name);
  }

  spool(id: JobId): Promise<readonly SpooledItem[]> {
    return this.#desk.spooled(id);
  }

  async stageFolder(id: JobId, stage: string): Promise<OwnPath> {
    if (!/^[a-z][a-z0-9-]*$/.test(stage) || stage === 'in') throw new ExdicomError('INTERNAL', { detail: 'stage folder' });
    const folder = join(this.#core.workFolder(this.#core.live(id).row.id), stage) as OwnPath;
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
    } catch (thrown) {
      throw this.#core.noticed(toExdicomError(thrown));
    }
    return folder;
  }

  numberFiles(id: JobId, files: readonly DicomFile[]) {
    return numberFiles(this.#core, id, files);
  }

  fail(token: JobToken, error: ExdicomError, policy?: RetryPolicy): Promise<Failure> {
    return this.#failing.fail(token, error, policy);
  }

  park(token: JobToken, policy: RetryPolicy): Promise<Parked> {
    return this.#failing.park(token, policy);
  }

  attempting(id: JobId, stage: Stage): Promise<boolean> {
    return this.#failing.attempting(id, stage);
  }

  progressed(id: JobId, stage: Stage): Promise<void> {
    return this.#failing.progressed(id, stage);
  }

  extraction(id: JobId, settings: string) {
    return this.#extraction.find(id, settings);
  }

  recordExtraction(id: JobId, settings: string, entries: readonly FoundEntry[]) {
    return this.#extraction.record(id, settings, entries);
  }

  async pinProfile(id: JobId, profile: { readonly name: string; readonly fingerprint: string }): Promise<void> {
    if (!(await this.#core.store.pinProfile(id, profile))) throw new ExdicomError('PROFILE_CHANGED', { job: this.#core.live(id).row.name });
  }

  prepared(id: JobId, stage: Preparation['stage'], settings: string, files: readonly DicomFile[]) {
    return this.#preparation.find(id, stage, settings, files);
  }

  recordPreparation(id: JobId, preparation: Preparation): Promise<void> {
    return this.#preparation.record(id, preparation);
  }

  async rememberKey(name: string, fingerprint: string): Promise<void> {
    if (!(await this.#core.store.rememberKey(name, fingerprint))) throw new ExdicomError('KEY_CHANGED');
  }

  knowsKey(name: string): Promise<boolean> {
    return this.#core.store.knowsKey(name);
  }

  configure(node: string, configuration: string): Disposable {
    this.#configurations.set(node, configuration);
    return { [Symbol.dispose]: () => { if (this.#configurations.get(node) === configuration) this.#configurations.delete(node); } };
  }

  /** Without the nodes' ids: the same flow imported anew does the same. */
  #configuration(): string {
    return createHash('sha256').update(JSON.stringify([...this.#configurations.values()].toSorted())).digest('hex');
  }

  // ---------------------------------------------------------------------------------------------- out nodes

  planDeliveries(id: JobId, destination: DestinationInfo, files: readonly DicomFile[]) {
    return this.#deliveries.plan(id, destination, files);
  }

  async recordDeliveries(id: JobId, destination: DestinationInfo, results: readonly DeliveryResult[]): Promise<void> {
    await this.#deliveries.record(id, destination, results);
    const job = this.#core.jobs.get(id);
    if (job?.row.finishNode !== undefined) void this.#closing.look(job);
  }

  destinationUp(address: string): void {
    this.#replay.destinations.up(address);
  }

  destinationDown(address: string): Disposable {
    return this.#replay.destinations.down(address);
  }

  destinationTrial(address: string): boolean {
    return this.#replay.destinations.trial(address);
  }

  waitingFor(address: string, codes?: ReadonlySet<ErrorCode>): number {
    return this.#replay.destinations.waitingFor(address, codes);
  }

  begun(id: JobId, address: string): Promise<boolean> {
    return this.#core.store.begun(id, address);
  }

  shown(query: string): Promise<Shown> {
    return this.#core.store.shown(query);
  }

  rememberShown(query: string, shown: Shown): Promise<void> {
    return this.#core.store.rememberShown(query, shown);
  }

  // ---------------------------------------------------------------------------------------------- finish

  attachFinisher(node: string, rule: FinishRule, finisher: Finisher): Disposable {
    return this.#closing.attachFinisher(node, rule, finisher);
  }

  finish(token: JobToken, node: string) {
    return this.#closing.finish(token, node);
  }

  async receipt(id: JobId): Promise<Receipt | undefined> {
    const [text, acts] = await Promise.all([this.#core.store.receipt(id), this.#core.store.acts(id)]);
    return text === undefined ? undefined : { ...JSON.parse(text) as Receipt, acts };
  }

  // ---------------------------------------------------------------------------------------------- asking and acting

  jobs(filter: JobFilter = {}): Promise<readonly Job[]> {
    return this.#asking.jobs(filter);
  }

  counts(): Promise<LedgerCounts> {
    return this.#asking.counts();
  }

  details(id: JobId): Promise<JobDetails> {
    return this.#asking.details(id);
  }

  find(marks: Marks): Promise<readonly Job[]> {
    return this.#asking.find(marks);
  }

  held(target: HoldTarget): HoldMode | undefined {
    return this.#core.holds.mode(target);
  }

  holds(): Promise<readonly Hold[]> {
    return Promise.resolve(this.#core.holds.all());
  }

  cancel(id: JobId, who?: string): Promise<void> {
    return this.#acting.cancel(id, who);
  }

  sendAgain(id: JobId, who?: string): Promise<Job> {
    return this.#acting.sendAgain(id, who);
  }

  retryNow(what: JobId | { readonly destination: string }, who?: string): Promise<number> {
    return this.#acting.retryNow(what, who);
  }

  password(id: JobId, password: string, who?: string): Promise<void> {
    return this.#acting.password(id, password, who);
  }

  passwords(id: JobId): readonly string[] {
    return this.#core.passwords.get(id) ?? [];
  }

  hold(target: HoldTarget, mode: HoldMode, who?: string): Promise<void> {
    return this.#acting.hold(target, mode, who);
  }

  resume(target: HoldTarget, who?: string): Promise<void> {
    return this.#acting.resume(target, who);
  }

  // ---------------------------------------------------------------------------------------------- quarantine

  quarantine({ job }: { readonly job?: JobId } = {}): Promise<readonly QuarantinedFile[]> {
    return this.#quarantine.list(job);
  }

  release(id: JobId, instances: 'all' | readonly number[], profile: string, who?: string): Promise<JobToken> {
    return this.#releasing.release(id, instances, profile, who);
  }

  discard(id: JobId, instances: 'all' | readonly number[], who?: string): Promise<number> {
    return this.#quarantine.discard(id, instances, who);
  }
}
