/** A process that works with a ledger until it is killed. It says on its standard output what the ledger has promised it. */
import { createHash } from 'node:crypto';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createLedger } from '../../../nodes/engine/ledger/ledger';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { FoundEntry } from '../../../nodes/engine/ledger/ledger-types';
import type { DicomFile, JobToken, OwnPath, Sha256, SourceKey } from '../../../nodes/engine/model';

const [, , mode = '', directory = '', inbox = ''] = process.argv;
const KEY = 'folder:/test/inbox' as SourceKey;
const pacs = { address: 'folder:/pacs', label: 'pacs', identifiedAllowed: false };
const say = (...words: Array<string | number>): void => { process.stdout.write(`${words.join(' ')}\n`); };
const digest = (content: string): Sha256 => createHash('sha256').update(content).digest('hex') as Sha256;

const ledger = createLedger('test-ledger', {
  directory, slots: 4, maxParked: 100, reserve: 0, quiet: 60_000, policy: { delay: 50, factor: 2, cap: 1000, jitter: 0, maximumAge: 1e9 }, retention: 30, quarantineRetention: 0, journal: { bytes: 10_000_000, days: 30, retention: 0 },
});

async function stages(token: JobToken, poison: boolean): Promise<void> {
  const visit = ledger.enter(token, 'stage');
  const folder = await ledger.stageFolder(token.id, 'extract');
  const known = await ledger.extraction(token.id, 's');
  let files: readonly DicomFile[] | undefined = known?.files;
  if (files === undefined) {
    const apart = await ledger.attempting(token.id, 'extract');
    if (poison && !apart) process.kill(process.pid, 'SIGKILL');
    if (poison) {
      // What a process apart would have died of.
      await ledger.fail(token, new ExdicomError('WORKER_CRASHED', { stage: 'extract' }));
      visit.leave();
      return;
    }
    const entries = Array.from({ length: 30 }, (_, index): FoundEntry => {
      const content = `${token.name} ${index}`;
      const path = join(folder, String(index)) as OwnPath;
      writeFileSync(path, content, { flush: true });
      return {
        kind: 'instance', name: `n${index}`, bytes: content.length,
        file: {
          path, bytes: content.length, sha256: digest(content), dataSetSha256: digest(`d${content}`), patient: 'p', sopClassUID: '1.2', sopInstanceUID: `1.${digest(content).replaceAll(/\D/g, '')}`,
          seriesInstanceUID: '1', studyInstanceUID: '1', transferSyntaxUID: '1.2', modality: 'CT',
        },
      };
    });
    files = (await ledger.recordExtraction(token.id, 's', entries)).files;
    say('extracted', token.id);
  }
  const made = await ledger.stageFolder(token.id, 'anonymize');
  const { files: prepared } = await ledger.prepared(token.id, 'anonymize', 'v', files);
  const done = new Map(prepared.map((file) => [file.instance, file.file]));
  await ledger.attempting(token.id, 'anonymize');
  for (let at = 0; at < files.length; at += 10) {
    const batch = files.slice(at, at + 10).filter(({ instance }) => !done.has(instance!)).map((file) => {
      const content = `clean ${file.sopInstanceUID}`;
      const path = join(made, String(file.instance)) as OwnPath;
      writeFileSync(path, content, { flush: true });
      return { instance: file.instance!, from: file.path as OwnPath, path, sha256: digest(content), bytes: content.length, file: { ...file, path, bytes: content.length } };
    });
    if (batch.length === 0) continue;
    await ledger.recordPreparation(token.id, { stage: 'anonymize', settings: 'v', profile: 'basic', files: batch, quarantined: [] });
    await ledger.progressed(token.id, 'anonymize');
    for (const { instance, file } of batch) done.set(instance, file);
  }
  const planned = await ledger.planDeliveries(token.id, pacs, [...done.values()]);
  for (const { file, state } of planned) {
    if (state === 'verified') continue;
    await ledger.recordDeliveries(token.id, pacs, [{ instance: file.instance, state: 'verified', level: 'digest' }]);
    say('verified', token.id, file.instance);
  }
  const finishing = ledger.enter(token, 'finish');
  visit.leave();
  await ledger.finish(token, 'finish');
  finishing.leave();
}

async function main(): Promise<void> {
  await ledger.open();
  say('open');
  if (mode === 'hold') {
    setInterval(() => undefined, 1000);
    return;
  }
  const dead: Array<Promise<void>> = [];
  ledger.attachSource({
    sourceKey: KEY,
    send: (token) => { say('sent', token.id, token.attempt); dead.push(stages(token, mode === 'poison' && token.name.endsWith('0001'))); },
    dispose: () => Promise.resolve(),
  });
  ledger.attachFinisher('finish', { required: [], allowLeftOut: false }, (receipt) => { say('closed', receipt.job.id, receipt.job.outcome); });
  ledger.started();
  mkdirSync(inbox, { recursive: true });
  if (mode === 'resume') return;
  for (let n = 0; n < 1000; n += 1) {
    const name = `${process.pid}-${n}`;
    const path = join(inbox, name);
    writeFileSync(path, `archive ${name}`);
    const { size, mtimeMs } = statSync(path);
    const taken = await ledger.take({ sourceKey: KEY, kind: 'archive', prefix: 'folder-in', items: [{ path, name, bytes: size, mtimeMs }], origin: { path } }, new AbortController().signal);
    if (taken.kind === 'job') {
      say('taken', taken.token.id);
      dead.push(stages(taken.token, false));
    } else {
      await new Promise((resolve) => { setTimeout(resolve, 10); });
    }
  }
  await Promise.all(dead);
}

void main().catch((thrown: unknown) => {
  process.stdout.write(`error ${typeof thrown === 'object' && thrown !== null && 'code' in thrown ? String(thrown.code) : String(thrown)}\n`);
  process.exitCode = 3;
});
