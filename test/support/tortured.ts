/** Flow 01 in a real Node-RED beside a peer that misbehaves, and the account that every run of it must end with. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { instance, zip } from './archives';
import { exampleFlow } from './example-flow';
import type { Changes } from './example-flow';
import { jobStates, receiptsIn } from './ledger-file';
import { filesBelow } from './main-flow';
import { NodeRed } from './node-red';
import type { FlowNode } from './node-red';
import { freePort } from './orthanc';

export const KEY = 'a key for tests, of more than 32 characters';

export interface PeerAddress {
  readonly port: number;
  readonly aet?: string;
  readonly level?: 'response' | 'C-FIND';
}

export interface TorturedOptions {
  /** Properties over flow 01's, by node type. */
  readonly changes?: Changes;
  /** The flow instead of flow 01. */
  readonly flow?: readonly FlowNode[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Retries follow within a second, so that a test needs no hour to see six. */
const IMPATIENT: Changes = { 'exdicom-ledger': { retryDelay: '0.5', retryFactor: '1', retryCap: '1', retryJitter: '0' } };

export class Tortured implements AsyncDisposable {
  readonly data: string;
  readonly inbox: string;
  red: NodeRed;

  private constructor(readonly folder: string, private readonly flow: readonly FlowNode[], private readonly env: Record<string, string>, red: NodeRed) {
    this.data = join(folder, 'data');
    this.inbox = join(this.data, 'inbox');
    this.red = red;
  }

  static async start(peer: PeerAddress, { changes = {}, flow, env = {} }: TorturedOptions = {}): Promise<Tortured> {
    const folder = mkdtempSync(join(tmpdir(), 'exdicom-tortured-'));
    mkdirSync(join(folder, 'data', 'inbox'), { recursive: true });
    const all: Record<string, Record<string, unknown>> = {};
    for (const part of [IMPATIENT, changes]) for (const [type, properties] of Object.entries(part)) all[type] = { quiet: '2', reserve: '1', ...all[type], ...properties };
    const flows = flow ?? exampleFlow('01', all);
    const environment = {
      EXDICOM_DATA: join(folder, 'data'), EXDICOM_DEID_KEY: KEY, EXDICOM_LISTEN_PORT: String(await freePort()),
      EXDICOM_PACS_HOST: '127.0.0.1', EXDICOM_PACS_PORT: String(peer.port), EXDICOM_PACS_AET: peer.aet ?? 'ANY-SCP', EXDICOM_PACS_LEVEL: peer.level ?? 'response', ...env,
    };
    return new Tortured(folder, flows, environment, await NodeRed.start({ flows, userDir: folder, env: environment }));
  }

  /** Puts a file into the inbox in one step. */
  give(name: string, content: Buffer): void {
    writeFileSync(join(this.inbox, `${name}.part`), content);
    renameSync(join(this.inbox, `${name}.part`), join(this.inbox, name));
  }

  /** Starts Node-RED again on the same folder. */
  async restart(): Promise<void> {
    await this.red.stop();
    this.red = await NodeRed.start({ flows: this.flow, userDir: this.folder, env: this.env });
  }

  receipts(): Receipt[] {
    return [...receiptsIn(this.data).values()];
  }

  states(): Record<string, number> {
    return jobStates(this.data);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      assert.equal(this.red.exited, undefined, 'Node-RED lives');
      await pause(100);
    }
  }

  async untilClosed(jobs: number): Promise<Receipt[]> {
    await this.until(() => this.receipts().length >= jobs && Object.keys(this.states()).every((state) => state === 'closed'));
    return this.receipts();
  }

  /**
   * The account: what came in is in exactly one place, the receiver holds what the receipts vouch for, a source is in
   * `done` only where everything was verified, and the work folder is empty.
   * @param inventory SOP Instance UIDs that the receiver holds.
   */
  async account(inventory: Iterable<string>): Promise<void> {
    const vouched = new Set<string>();
    for (const receipt of this.receipts()) {
      const { name, outcome } = receipt.job;
      assert.ok(receipt.balanced, `${name} is out of balance`);
      const { total, ...kinds } = receipt.entries;
      assert.equal(Object.values(kinds).reduce((sum, count) => sum + count, 0), total, `${name}: entries`);
      for (const { instances, verified, quarantined, failed, pending, leftOut, required } of receipt.destinations) {
        assert.equal(verified + quarantined + failed + pending + leftOut, instances, `${name}: instances`);
        if (outcome === 'complete' && required) assert.equal(verified, instances, `${name} is complete without all of it verified`);
      }
      for (const { sopInstanceUID } of receipt.instances) if (sopInstanceUID !== undefined) vouched.add(sopInstanceUID);
      const place = outcome === 'complete' || outcome === 'duplicate' ? 'done' : 'failed';
      const originals = await filesBelow(join(this.data, place, name));
      assert.ok(originals.length > 0, `${name} (${outcome}) is not in ${place}`);
      assert.equal(originals.includes('reason.json'), place === 'failed', `${name}: reason.json`);
    }
    assert.deepEqual(new Set(inventory), vouched, 'the receiver holds what the receipts vouch for');
    let left = await filesBelow(join(this.data, 'work'));
    for (let looks = 0; looks < 100 && left.length > 0; looks += 1) {
      await pause(100);
      left = await filesBelow(join(this.data, 'work'));
    }
    assert.deepEqual(left, [], 'the work folder is empty');
    assert.deepEqual(readdirSync(this.inbox), [], 'the inbox is empty');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.red.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A zip of small CT instances of one patient; `study` makes it another one. */
export const tinyStudy = (instances: number, study = '1.2.10', pixels?: Buffer): Buffer =>
  zip(Array.from({ length: instances }, (_, index) => ({ name: `IM${index}`, data: instance({ patientId: 'P', study, sop: `${study}.${index}`, ...(pixels === undefined ? {} : { pixels }) }) })));
