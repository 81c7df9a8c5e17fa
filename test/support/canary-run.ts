/** Flow 01 with canaries in it: what is dropped into its inbox, and where nothing of it may be seen afterwards. */
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { rar, zip } from './archives';
import type { ZipSpec } from './archives';
import { Canaries } from './canary';
import type { Sighting } from './canary';
import { canaryDirectory, canaryInstance, canaryWreck, newStudy } from './canary-study';
import { exampleFlow, idOf } from './example-flow';
import { jobStates } from './ledger-file';
import { NodeRed } from './node-red';
import type { FlowNode } from './node-red';
import { freePort } from './orthanc';

/** What the user set on a message is his own and stays on it. */
const TOPIC = 'msg.topic';
/** The largest that `extract` unpacks in this run, in bytes. */
const LIMIT = 3_000_000;

export class CanaryRun implements AsyncDisposable {
  readonly canaries = new Canaries();
  readonly userDir: string;
  readonly data: string;
  /** The process's own TMPDIR. */
  readonly temporary: string;
  readonly #password = this.canaries.text('password of an archive');
  /** What every Node-RED of this run has let out. */
  readonly #sightings: Sighting[] = [];
  readonly #main: Buffer;
  readonly #single: Buffer;

  private constructor(readonly root: string, readonly ports: readonly [listening: number, silent: number]) {
    this.userDir = join(root, 'user');
    this.data = join(root, 'data');
    this.temporary = join(root, 'tmp');
    this.#main = this.#archive();
    this.#single = this.#entry('single file').data;
  }

  static async make(): Promise<CanaryRun> {
    const run = new CanaryRun(await mkdtemp(join(tmpdir(), 'exdicom-canary-')), [await freePort(), await freePort()]);
    for (const folder of [run.userDir, run.temporary, join(run.data, 'inbox')]) await mkdir(folder, { recursive: true });
    return run;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }

  // ---------------------------------------------------------------------------------------------- the flow

  #flow(): FlowNode[] {
    const nodes = exampleFlow('01', {
      'exdicom-ledger': { quiet: '3', reserve: '1', retryDelay: '1', retryCap: '2', retryJitter: '0' },
      'exdicom-extract': { maxBytes: String(LIMIT / 1e9), ledger: idOf(exampleFlow('01'), 'exdicom-ledger') },
    });
    const z = nodes.find(({ type }) => type === 'tab')?.id ?? '';
    const add = (id: string, type: string, properties: object): FlowNode => ({ id, type, z, x: 0, y: 0, ...properties });
    // `extract` completes with what it read, and original UIDs are allowed in front of `anonymize`.
    const before = nodes.filter(({ type }) => type === 'exdicom-folder-in' || type === 'exdicom-extract').map(({ id }) => id);
    const after = nodes.filter(({ type }) => ['exdicom-anonymize', 'exdicom-c-store-out', 'exdicom-c-store-in', 'exdicom-folder-out', 'exdicom-finish'].includes(type)).map(({ id }) => id);
    return [
      ...nodes,
      add('sink', 'debug', { active: false, wires: [] }),
      add('complete-before', 'complete', { scope: before, wires: [['sink']] }),
      add('complete-after', 'complete', { scope: after, wires: [['sink']] }),
      add('status', 'status', { scope: null, wires: [['sink']] }),
      ...['good', 'bad'].map((name) => add(`read-${name}`, 'file in', {
        filename: join(this.userDir, `${name}.bin`), filenameType: 'str', format: '', chunk: false, sendError: false, allProps: false, wires: [[idOf(nodes, 'exdicom-extract')]],
      })),
    ];
  }

  /** Starts Node-RED; `reachable`: its PACS is the flow's own receiver, else nobody answers there. `key`: instead of a file. */
  async start({ reachable = true, key = '' }: { readonly reachable?: boolean; readonly key?: string } = {}): Promise<NodeRed> {
    const flows = this.#flow();
    const [listening, silent] = this.ports;
    await writeFile(join(this.userDir, 'flows_cred.json'), JSON.stringify({ [idOf(flows, 'exdicom-extract')]: { passwords: `another\n${this.#password}` } }));
    await writeFile(join(this.userDir, 'good.bin'), zip([this.#entry('message')]));
    await writeFile(join(this.userDir, 'bad.bin'), Buffer.from(`not an archive ${this.canaries.text('message without DICOM')}`));
    return NodeRed.start({
      flows, userDir: this.userDir, deep: true,
      env: {
        EXDICOM_DATA: this.data, EXDICOM_LISTEN_PORT: String(reachable ? silent : listening), EXDICOM_PACS_PORT: String(silent), EXDICOM_PACS_HOST: '127.0.0.1',
        EXDICOM_PACS_AET: '', EXDICOM_AET: '', EXDICOM_PACS_LEVEL: '', EXDICOM_DEID_KEY: key, TMPDIR: this.temporary,
      },
    });
  }

  // ---------------------------------------------------------------------------------------------- what goes in

  #entry(where: string): ZipSpec {
    const name = this.canaries.text(`${where} entry name`);
    return { name: `${this.canaries.text(`${where} folder in the archive`)}/${name}.dcm`, data: canaryInstance(this.canaries, newStudy(this.canaries, where), where), method: 'deflate' };
  }

  /** Everything that can be in an archive, good and bad. */
  #archive(): Buffer {
    const { canaries } = this;
    const study = newStudy(canaries, 'main archive');
    const named = (what: string): string => `${canaries.text('folder in the main archive')}/${canaries.text(`name of the ${what}`)}`;
    const sop = canaries.uid('main archive SOP Instance UID');
    const good = canaryInstance(canaries, study, 'main archive', { sop });
    const name = named('instance');
    const entries: ZipSpec[] = [
      { name, data: good },
      { name: `${named('second')}-${canaries.han('entry name')}`, utf8: true, data: canaryInstance(canaries, study, 'second') },
      { name: named('duplicate'), data: good },
      { name: named('conflict'), data: canaryInstance(canaries, study, 'conflict', { sop }) },
      { name: named('secondary capture'), data: canaryInstance(canaries, study, 'secondary capture', { secondaryCapture: true }) },
      { name: named('cut off'), data: canaryInstance(canaries, study, 'cut off', { cutOff: true }) },
      { name: named('unreadable'), data: canaryWreck(canaries) },
      { name: `${named('damaged')}.dcm`, data: canaryInstance(canaries, study, 'damaged entry'), forged: { crc: 1 } },
      { name: `${named('text')}.txt`, data: Buffer.from(canaries.text('text file')) },
      { name: 'DICOMDIR', data: canaryDirectory(canaries, [name.replaceAll('/', '\\'), canaries.text('missing file of the DICOMDIR')]) },
      { name: `${named('nested archive')}.zip`, data: zip([this.#entry('nested archive')], { comment: Buffer.from(canaries.text('comment of the nested archive')) }) },
      { name: `../../${canaries.text('name of an entry that climbs')}`, data: Buffer.from(canaries.text('entry that climbs')) },
    ];
    return zip(entries.map((entry) => ({ method: 'deflate', ...entry })), { comment: Buffer.from(canaries.text('comment of the archive')) });
  }

  async #drop(what: string, extension: string, content: Buffer): Promise<void> {
    const path = join(this.data, 'inbox', `${this.canaries.text(`file name of ${what}`)}${extension}`);
    await writeFile(`${path}.part`, content);
    await rename(`${path}.part`, path);
  }

  async dropMain(): Promise<void> {
    await this.#drop('the main archive', '.zip', this.#main);
  }

  /** What has arrived already, under another name. */
  async dropAgain(): Promise<void> {
    await this.#drop('a duplicate', '.dcm', this.#single);
  }

  /** The other ways in, all good: how many jobs they are. */
  async dropGood(red: NodeRed): Promise<number> {
    const { canaries } = this;
    const folder = join(this.root, 'made');
    const inside = join(folder, canaries.text('folder in a sub-folder'));
    await mkdir(inside, { recursive: true });
    await writeFile(join(inside, `${canaries.text('file in a sub-folder')}.dcm`), this.#entry('sub-folder').data);
    await rename(folder, join(this.data, 'inbox', canaries.text('sub-folder name')));
    await this.#drop('a single file', '.dcm', this.#single);
    await this.#drop('an encrypted archive', '.zip', zip([{ ...this.#entry('encrypted archive'), encrypt: { kind: 'aes256', password: this.#password } }]));
    red.receive('read-good', { topic: canaries.text(TOPIC) });
    return 4;
  }

  /** What fails, each in another way, and one archive that none of the passwords opens: how many jobs close. */
  async dropBad(red: NodeRed): Promise<number> {
    const { canaries } = this;
    const whole = zip([this.#entry('damaged archive')]);
    await this.#drop('a damaged archive', '.zip', whole.subarray(0, whole.length - 100));
    await this.#drop('a text', '.txt', Buffer.from(`nothing to see ${canaries.text('text without DICOM')}`));
    await this.#drop('a large archive', '.zip', zip([{ name: canaries.text('large entry'), data: Buffer.from(canaries.text('large entry content').padEnd(64).repeat(LIMIT / 60)), method: 'deflate' }]));
    await this.#drop('an unsupported archive', '.7z', Buffer.concat([Buffer.from('377abcaf271c0004', 'hex'), Buffer.from(canaries.text('unsupported archive'))]));
    await this.#drop('a RAR with a bad checksum', '.rar', rar([{ name: canaries.text('entry of a RAR'), data: canaryInstance(canaries, newStudy(canaries, 'RAR'), 'RAR'), badCrc: true }]));
    await this.#drop('an archive with a long name', '.zip', zip([{ ...this.#entry('long name'), name: canaries.text('long name').repeat(5000) }]));
    await this.#drop('a locked archive', '.zip', zip([{ ...this.#entry('locked archive'), encrypt: { kind: 'zipcrypto', password: 'nobody has it' } }]));
    red.receive('read-bad', {});
    return 7;
  }

  /** Waits until so many jobs are closed, and none is anything but closed or without its password. */
  async closed(red: NodeRed, count: number): Promise<void> {
    for (;;) {
      const { closed = 0, 'needs-password': locked = 0, ...others } = jobStates(this.data);
      if (closed >= count && locked <= 1 && Object.keys(others).length === 0) return;
      await pause(250);
      await red.until(() => true);
    }
  }

  // ---------------------------------------------------------------------------------------------- where nothing may be

  /** Notes what this Node-RED has said: logs, statuses, output and messages. Call it when it has ended. */
  listen(red: NodeRed): void {
    for (const { what, node, from, to, text } of red.heard) {
      // What the user's own node sent is his; our folder-in and extract come before anonymize, and so do their Complete messages.
      if (what === 'message' && from === 'file in') continue;
      const early = what === 'message' && (from === 'exdicom-extract' || node === 'complete-before');
      const found = this.canaries.search(text, `${what} from ${from} ${node} to ${to}`);
      this.#sightings.push(...found.filter(({ kind, planted }) => !(early && kind === 'uid') && !(what === 'message' && planted === TOPIC)));
    }
  }

  get heard(): readonly Sighting[] {
    return this.#sightings;
  }

  /** In files: what may keep what it had is left out, and only that. */
  async onDisk(): Promise<Sighting[]> {
    const { canaries } = this;
    // Below these, the first folder is ours and what lies in it has its own name; `inbox` is the sender's altogether.
    const original = (path: string): boolean => {
      const [top, , ...rest] = path.split(sep);
      return top === 'inbox' || ((top === 'done' || top === 'failed') && rest.length > 0 && rest.join('/') !== 'reason.json');
    };
    const kept = (path: string): boolean => original(path) || (/^(?:quarantine|work)[/\\]/.test(path) && !path.endsWith('.json'));
    return [
      ...await canaries.searchNames(this.data, 'data', original),
      ...await canaries.searchFiles(this.data, 'data', kept),
      ...await canaries.searchNames(this.userDir, 'userDir'),
      ...await canaries.searchFiles(this.userDir, 'userDir', (path) => path.startsWith('pack') || ['flows_cred.json', '.flows_cred.json.backup', 'good.bin', 'bad.bin'].includes(path)),
      ...await canaries.searchNames(this.temporary, 'TMPDIR'),
      ...await canaries.searchFiles(this.temporary, 'TMPDIR'),
    ];
  }

  /** Names of the jobs' folders that are left in `work`. */
  async working(): Promise<string[]> {
    return (await readdir(join(this.data, 'work'))).filter((name) => !name.startsWith('incoming-'));
  }
}
