/** Boots a real Node-RED with this pack in a process of its own: version 5 or 4, with a flow, in a temporary user directory. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FromHost, ToHost } from './node-red-host';

export interface FlowNode {
  readonly id: string;
  readonly type: string;
  readonly [property: string]: unknown;
}

type Message = Extract<FromHost, { kind: 'message' }>;
type Heard = Omit<Extract<FromHost, { kind: 'heard' }>, 'kind'> | { readonly what: 'output'; readonly node: ''; readonly from: string; readonly to: string; readonly text: string };

export interface NodeRedOptions {
  readonly version?: 'node-red' | 'node-red-4';
  readonly flows: readonly FlowNode[];
  /** An existing one, for a restart; else a new one is made and removed at the end. */
  readonly userDir?: string;
  readonly env?: Record<string, string>;
  /** Hear everything: all properties of every message, log line and status, and what the process writes. */
  readonly deep?: boolean;
  /** The pack is in the user directory's node_modules already. */
  readonly installed?: boolean;
}

/** Where this build lies: the folder above `test` and `nodes`. */
const BUILD = join(__dirname, '..', '..');

export class NodeRed implements AsyncDisposable {
  readonly messages: Message[] = [];
  readonly statuses: Array<{ readonly node: string; readonly text: string }> = [];
  readonly logs: Array<{ readonly level: number; readonly text: string }> = [];
  /** With `deep`. */
  readonly heard: Heard[] = [];
  readonly #child: ChildProcess;
  readonly #temporary: string | undefined;
  readonly #changed = new Set<() => void>();
  started: Extract<FromHost, { kind: 'started' }> | undefined;
  #deployed = 0;
  #flows = 0;
  exited: { readonly code: number | null } | undefined;

  private constructor(child: ChildProcess, readonly userDir: string, temporary: string | undefined) {
    this.#child = child;
    this.#temporary = temporary;
    child.on('message', (message: FromHost) => { this.#heard(message); });
    for (const [from, stream] of Object.entries({ stdout: child.stdout, stderr: child.stderr })) {
      stream?.setEncoding('utf8').on('data', (text: string) => { this.heard.push({ what: 'output', node: '', from, to: from, text }); });
    }
    child.on('exit', (code) => { this.exited = { code }; this.#tell(); });
  }

  static async start({ version = 'node-red', flows, userDir, env = {}, deep = false, installed = false }: NodeRedOptions): Promise<NodeRed> {
    const temporary = userDir === undefined ? await mkdtemp(join(tmpdir(), 'exdicom-flow-')) : undefined;
    const directory = userDir ?? temporary ?? '';
    const pack = installed ? undefined : await packFolder(directory);
    await writeFile(join(directory, 'flows.json'), JSON.stringify(flows));
    const child = fork(join(__dirname, 'node-red-host.js'), [JSON.stringify({ version, userDir: directory, pack, deep })], {
      env: { ...process.env, EXDICOM_DEID_KEY: '', ...env }, stdio: deep ? ['ignore', 'pipe', 'pipe', 'ipc'] : ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const red = new NodeRed(child, directory, temporary);
    try {
      await red.until(() => red.started !== undefined);
    } catch (thrown) {
      await red[Symbol.asyncDispose]();
      throw thrown;
    }
    return red;
  }

  /** Waits until it holds; rejects when the process ends first. A test's own limit is its runner's. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.exited !== undefined) throw new Error(`Node-RED ended with ${this.exited.code}: ${this.logs.map(({ text }) => text).join('\n')}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => { done(); }, 200);
        const done = (): void => { clearTimeout(timer); this.#changed.delete(done); resolve(); };
        this.#changed.add(done);
      });
    }
  }

  /** What this debug node received so far. */
  at(node: string): Array<Record<string, unknown>> {
    return this.messages.filter((message) => message.node === node).map(({ message }) => message);
  }

  status(node: string): string | undefined {
    return this.statuses.findLast((status) => status.node === node)?.text;
  }

  receive(node: string, message: object): void {
    this.#send({ kind: 'receive', node, message });
  }

  async deploy(flows: readonly FlowNode[], type: 'full' | 'nodes' | 'flows' = 'full'): Promise<void> {
    const before = this.#deployed;
    this.#send({ kind: 'deploy', flows, type });
    await this.until(() => this.#deployed > before);
  }

  /** Of Node-RED's own process. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Through the admin API, as the editor and other tools do; resolves when the flows have started. */
  async post(flows: readonly FlowNode[], type: 'full' | 'nodes' | 'flows'): Promise<void> {
    await this.#startingFlows(() => this.#admin('flows', flows, { 'Node-RED-Deployment-Type': type }));
  }

  /** Stops all flows, or starts them again, through the admin API. */
  async setFlows(state: 'stop' | 'start'): Promise<void> {
    if (state === 'stop') await this.#admin('flows/state', { state });
    else await this.#startingFlows(() => this.#admin('flows/state', { state }));
  }

  async #startingFlows(act: () => Promise<void>): Promise<void> {
    const before = this.#flows;
    await act();
    await this.until(() => this.#flows > before);
  }

  async #admin(path: string, body: object, headers: Record<string, string> = {}): Promise<void> {
    const response = await fetch(`http://127.0.0.1:${this.started?.port ?? 0}/${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  }

  /** As a power cut. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    while (this.exited === undefined) await new Promise<void>((resolve) => { this.#changed.add(resolve); });
  }

  /** Orderly. */
  async stop(): Promise<void> {
    if (this.exited !== undefined) return;
    this.#send({ kind: 'stop' });
    while (this.exited === undefined) await new Promise<void>((resolve) => { this.#changed.add(resolve); });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.exited === undefined) await this.kill();
    if (this.#temporary !== undefined) await rm(this.#temporary, { recursive: true, force: true });
  }

  #send(message: ToHost): void {
    this.#child.send(message);
  }

  #heard(message: FromHost): void {
    if (message.kind === 'started') this.started = message;
    if (message.kind === 'message') this.messages.push(message);
    if (message.kind === 'status') this.statuses.push(message);
    if (message.kind === 'log') this.logs.push(message);
    if (message.kind === 'heard') this.heard.push(message);
    if (message.kind === 'deployed') this.#deployed += 1;
    if (message.kind === 'flows') this.#flows += 1;
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#changed) listener();
  }
}

/** The pack as Node-RED finds an installed one: its package.json, and the build beside it. */
export async function packFolder(userDir: string): Promise<string> {
  const folder = join(userDir, 'pack');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), await readFile(join(process.cwd(), 'package.json')));
  await symlink(BUILD, join(folder, 'dist')).catch((thrown: unknown) => {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
  });
  return folder;
}
