/** The repository as it is published, in a folder of its own: its files, and the build that this test is part of as `dist`. */
import { spawn } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The folder above `test` and `nodes`. */
const BUILD = join(__dirname, '..', '..');
/** Sources and tests are there too, so that what must not be packed could be. */
const REPOSITORY = ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'NOTICE', 'tsconfig.json', 'examples', 'icons', 'docs', 'nodes', 'scripts', 'test'];

export interface StagedPack extends AsyncDisposable {
  readonly folder: string;
}

export async function stagePack(): Promise<StagedPack> {
  const folder = await mkdtemp(join(tmpdir(), 'exdicom-staged-'));
  for (const name of REPOSITORY) await cp(join(process.cwd(), name), join(folder, name), { recursive: true });
  for (const name of ['nodes', 'test']) await cp(join(BUILD, name), join(folder, 'dist', name), { recursive: true });
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** It failed because no registry answers. */
  readonly offline: boolean;
}

/** npm in a folder, to its end. */
export function npm(folder: string, options: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn('npm', options, { cwd: folder, env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text; });
    child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text; });
    child.once('error', reject);
    child.once('close', (code) => { resolve({ code, stdout, stderr, offline: code !== 0 && /ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ETIMEDOUT|ENETUNREACH/.test(stderr) }); });
  });
}
