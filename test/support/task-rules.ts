/**
 * Preloaded into a Node-RED with all its threads and processes (NODE_OPTIONS --require): tasks that a rule names are held
 * until the rule is gone, or end their thread or their process, as a slow disk and a poisonous file would. The pack itself
 * knows nothing of it.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync, statSync } from 'node:fs';
import Module from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

export interface TaskRule {
  /** The beginning of a task's name. */
  readonly task: string;
  /** `hold`: waits as long as the rule is there. `exit`: the thread ends. `abort`: the process ends. */
  readonly what: 'hold' | 'exit' | 'abort';
  /** Only where a file that the task is given has this SHA-256, or contains these bytes (latin1). */
  readonly sha256?: string;
  readonly contains?: string;
}

type Task = (input: unknown, context: unknown) => unknown;
type Areas = Readonly<Record<string, () => Readonly<Record<string, Task>>>>;

const file = process.env['EXDICOM_TEST_RULES'] ?? '';
const rules = (): readonly TaskRule[] => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) as TaskRule[] : []);

/** Every string in the input that names a file. */
function filesIn(value: unknown): string[] {
  if (typeof value === 'string') return value.startsWith('/') && existsSync(value) && statSync(value).isFile() ? [value] : [];
  if (value instanceof Uint8Array) return [];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(filesIn) : [];
}

function concerns({ sha256, contains }: TaskRule, input: unknown): boolean {
  if (sha256 === undefined && contains === undefined) return true;
  return filesIn(input).some((path) => {
    const bytes = readFileSync(path);
    return (sha256 === undefined || createHash('sha256').update(bytes).digest('hex') === sha256) && (contains === undefined || bytes.includes(Buffer.from(contains, 'latin1')));
  });
}

async function obey(name: string, input: unknown): Promise<void> {
  const found = (): TaskRule | undefined => rules().find((rule) => name.startsWith(rule.task) && concerns(rule, input));
  let rule = found();
  if (rule === undefined) return;
  appendFileSync(`${file}.met`, `${JSON.stringify({ name, what: rule.what, pid: process.pid })}\n`);
  if (rule.what === 'abort') process.kill(process.pid, 'SIGKILL');
  if (rule.what === 'exit') process.exit(1);
  while (rule !== undefined) {
    await sleep(20);
    rule = found();
  }
}

const obedient = (areas: Areas): Areas => Object.fromEntries(Object.entries(areas).map(([area, load]) => [area, () => (
  Object.fromEntries(Object.entries(load()).map(([name, task]): [string, Task] => [name, async (input, context) => {
    await obey(name, input);
    return task(input, context);
  }])))]));

type Load = (this: void, request: string, parent: { readonly filename: string } | undefined, isMain: boolean) => unknown;

// Undocumented, and what every replacement of modules in tests builds upon.
const loader = Module as unknown as Record<'_load', Load>;
const { _load: load } = loader;
const loadWithRules: Load = (request, parent, isMain) => {
  const exported = load(request, parent, isMain);
  if (request !== './tasks' || parent?.filename.endsWith('workers/worker.js') !== true) return exported;
  return { ...(exported as object), areas: obedient((exported as { areas: Areas }).areas) };
};
Object.assign(loader, { _load: loadWithRules });
