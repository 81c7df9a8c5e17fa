// Measures the pack beside its peers on the same data, in one run: de-identification, sending, extraction, and what each
// does to Node-RED's memory and event loop.
//   npm run bench                      everything (some twelve minutes)
//   npm run bench -- deid store tiny   only these parts (deid, store, extract, job) and loads (ct, multiframe, tiny)
//   EXDICOM_BENCH_ROUNDS=5             rounds in turn, of which the medians are told; 3 unless told otherwise
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
execFileSync(process.execPath, [join('scripts', 'build.mjs'), '--quick'], { stdio: 'inherit' });
execFileSync(process.execPath, [join('dist', 'test', 'bench', 'bench.js'), ...process.argv.slice(2)], { stdio: 'inherit' });
