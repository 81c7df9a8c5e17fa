/** `npm run bench`: the pack beside its peers, on the same data, in one run. Data and results lie in memory where the system offers that. */
import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { LOADS, touchMemory, writeStudy } from './data';
import type { LoadName } from './data';
import type { Load } from './host';
import { ours } from './ours';
import type { Outcome, Wiring } from './ours';
import { has, into, orthanc, orthancAnonymize, storescp, timed } from './peers';
import type { Receiver } from './peers';

const ROUNDS = Number(process.env['EXDICOM_BENCH_ROUNDS'] ?? 3);
/** The job before, of each kind of load enough for every thread to have compiled what it takes, as in a Node-RED that has been running. */
const WARM_UP = [{ ...LOADS.tiny.shape, count: 2000 }, { ...LOADS.ct.shape, count: 100 }, { ...LOADS.multiframe.shape, frames: 100, count: 1 }];
const WARM_UP_FILES = WARM_UP.reduce((sum, { count }) => sum + count, 0);
const PARTS = ['deid', 'store', 'extract', 'job'] as const;
const asked = process.argv.slice(2);
const loadNames = Object.keys(LOADS) as LoadName[];
const wanted = (part: string): boolean => !PARTS.some((name) => asked.includes(name)) || asked.includes(part);
const wantedLoad = (name: LoadName): boolean => !loadNames.some((one) => asked.includes(one)) || asked.includes(name);

const root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'exdicom-bench-'));
process.on('exit', () => { rmSync(root, { recursive: true, force: true }); });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => { process.exit(1); });

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`;
const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
const say = (line = ''): void => { process.stdout.write(`${line}\n`); };

/** The worst of memory and of the longest delay, the median of everything else. */
function usage(loads: readonly Load[]): string {
  const grown = Math.max(...loads.map(({ rssPeak, rssBefore }) => rssPeak - rssBefore));
  const peak = Math.max(...loads.map(({ rssPeak }) => rssPeak));
  return `memory +${megabytes(grown)} to ${megabytes(peak)}, loop delay p99 ${median(loads.map(({ delayP99 }) => delayP99)).toFixed(1)} ms, longest ${Math.max(...loads.map(({ delayMax }) => delayMax)).toFixed(0)} ms`;
}

type Peer = readonly [name: string, run: () => Promise<number>];

/** Runs ours and the peers in turn, round by round; prints medians, and the median of the ratios of each round. */
async function compare(title: string, stage: string, mine: () => Promise<Outcome>, peers: readonly Peer[], rounds = ROUNDS): Promise<void> {
  const own: Load[] = [];
  const theirs = new Map<string, number[]>();
  for (let round = 0; round < rounds; round += 1) {
    const figures = (await mine()).stages.get(stage);
    if (figures === undefined) throw new Error(`${stage} told nothing`);
    own.push(figures);
    for (const [name, run] of peers) {
      const times = theirs.get(name) ?? [];
      theirs.set(name, times);
      try {
        times.push(await run());
      } catch (error) {
        if (times.length === 0) say(`  ${name}: ${error instanceof Error ? error.message : String(error)}`);
        times.push(Number.NaN);
      }
    }
  }
  say(`${title}: ${seconds(median(own.map(({ milliseconds }) => milliseconds)))}; ${usage(own)}`);
  for (const [name, times] of theirs) {
    const ratios = times.map((time, round) => own[round]!.milliseconds / time);
    say(`  ${name.padEnd(28)} ${seconds(median(times)).padStart(8)}   ours takes ${median(ratios).toFixed(2)} of it (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`);
  }
}

interface Study {
  readonly name: LoadName;
  readonly title: string;
  readonly folder: string;
  readonly files: readonly string[];
  /** Bytes of memory that a run may use: a receiver takes several times as much as it is sent. */
  readonly touch: number;
}

function subset({ name, folder, files }: Study, count: number): { readonly folder: string; readonly count: number } {
  if (files.length <= count) return { folder, count: files.length };
  const part = join(root, `${name}-part`);
  if (!existsSync(part)) {
    mkdirSync(part);
    for (const file of files.slice(0, count)) linkSync(file, join(part, basename(file)));
  }
  return { folder: part, count };
}

async function main(): Promise<void> {
  const began = performance.now();
  const before = loadavg()[0]!;
  say(`Node ${process.version}, ${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), data in ${root.startsWith('/dev/shm') ? 'memory' : tmpdir()}, ${ROUNDS} rounds in turn.`);
  say(`Ours: the stage inside a running Node-RED 5 that has done one job of ${WARM_UP.map(({ count, frames }) => `${count} of ${frames} frame${frames > 1 ? 's' : ''}`).join(', ')} before, its ledger included, a debug node at every output. Peers: the whole process.`);
  say('The delay of the event loop includes the 1 ms of the timer that measures it. Memory is resident memory of the whole process with all its threads.');
  const warmUp = join(root, 'warm-up');
  for (const [index, { count, ...shape }] of WARM_UP.entries()) writeStudy(warmUp, count, shape, `W${index}`);
  const studies = loadNames.filter(wantedLoad).map((name): Study => {
    const { title, count, shape } = LOADS[name];
    const folder = join(root, name);
    const files = writeStudy(folder, count, shape);
    return { name, title, folder, files, touch: 5 * files.length * statSync(files[0]!).size };
  });
  const mine = (item: string, { instances, touch }: { readonly instances: number; readonly touch: number }, wiring: Wiring, whole = false): Promise<Outcome> => ours(root, { item, warmUp, instances, touch, wiring, whole });

  if (wanted('deid')) {
    say('\nDe-identification: the whole Basic Profile with shifted dates, here; a handful of tags, gdcmanon --dumb; its own profile, Orthanc (four requests at a time)');
    for (const { title, folder, files, touch } of studies) {
      await compare(title, 'anonymize', () => mine(folder, { instances: files.length, touch }, { anonymize: true }), [
        ['cp -r', () => into(root, files.length, touch, (to) => timed('cp', ['-r', folder, to]))],
        ...(has('gdcmanon') ? [['gdcmanon --dumb', () => into(root, files.length, touch, (to) => timed('gdcmanon', ['--dumb', '--remove', '10,30', '--replace', '10,10=X', '--replace', '10,20=X', '--recursive', '-i', folder, '-o', to]))] as const] : []),
        ...(has('Orthanc') ? [['Orthanc /anonymize', () => orthancAnonymize(root, files)] as const] : []),
      ]);
    }
  }

  if (wanted('store') && has('dcmsend')) {
    for (const tuned of [true, false]) {
      say(`\nC-STORE, peers ${tuned ? 'tuned (TCP_NODELAY=1)' : 'as packaged (of the many files 100; one round)'}`);
      for (const study of studies) {
        const { folder, count } = tuned ? { folder: study.folder, count: study.files.length } : subset(study, 100);
        for (const [peer, open, associations] of [['storescp', storescp, 1], ['Orthanc', orthanc, 4]] as const) {
          if (!has(peer)) continue;
          const sending = async <T>(send: (port: number) => Promise<T>): Promise<T> => {
            await using receiver: Receiver = await open(root, tuned);
            const result = await send(receiver.port);
            const held = await receiver.count();
            if (held !== undefined && held !== count && held !== count + WARM_UP_FILES) throw new Error(`${held} of ${count} arrived`);
            return result;
          };
          await compare(`${study.title} to ${peer}${associations > 1 ? `, ${associations} associations` : ''}`, 'c-store-out', () => sending((port) => mine(folder, { instances: count, touch: study.touch }, { anonymize: false, port, associations })), [
            ['dcmsend', () => sending((port) => {
              touchMemory(root, study.touch);
              return timed('dcmsend', ['--scan-directories', '127.0.0.1', String(port), folder], tuned);
            })],
          ], tuned ? ROUNDS : 1);
        }
      }
    }
  }

  if (wanted('extract') && has('bsdtar')) {
    say('\nExtraction of a zip; ours also recognises every file, takes its digest, and enters it into the ledger');
    for (const { name, title, folder, files, touch } of studies) {
      const zip = join(root, `${name}.zip`);
      execFileSync('bsdtar', ['-a', ...(name === 'multiframe' ? ['--options', 'zip:compression=store'] : []), '-cf', zip, '-C', folder, '.']);
      await compare(name === 'multiframe' ? `${title}, stored` : title, 'extract', () => mine(zip, { instances: files.length, touch }, { anonymize: false }), [
        ['bsdtar', () => into(root, files.length, touch, (to) => timed('bsdtar', ['-xf', zip, '-C', to]))],
        ...(has('unar') ? [['unar', () => into(root, files.length, touch, (to) => timed('unar', ['-q', '-o', to, zip]))] as const] : []),
      ]);
    }
  }

  if (wanted('job') && has('storescp')) {
    say('\nThe whole job as in flow 01, to storescp as packaged: folder, extract, anonymize, c-store-out, finish');
    for (const { title, folder, files, touch } of studies) {
      await using receiver = await storescp(root, false);
      const { stages, job } = await mine(folder, { instances: files.length, touch }, { anonymize: true, port: receiver.port }, true);
      say(`${title}: ${seconds(job.milliseconds)}; ${usage([job])}`);
      for (const figures of stages.values()) say(`  ${figures.stage.padEnd(12)} ${seconds(figures.milliseconds).padStart(8)}; ${usage([figures])}`);
    }
  }
  say(`\n${Math.round((performance.now() - began) / 1000)} s in all; load of the machine before ${before.toFixed(1)}, after ${loadavg()[0]!.toFixed(1)}.`);
}

main().then(() => { process.exit(0); }, (error: unknown) => { say(error instanceof Error ? error.message : String(error)); process.exit(1); });
