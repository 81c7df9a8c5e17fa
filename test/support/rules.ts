/** Rules for the tasks of a Node-RED under test: see task-rules.ts. */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TaskRule } from './task-rules';

export interface Met {
  readonly name: string;
  readonly what: TaskRule['what'];
  readonly pid: number;
}

export class Rules {
  readonly #file: string;

  /** @param folder where the rules lie; made, and removed, by the test. */
  constructor(folder: string) {
    this.#file = join(folder, 'task-rules.json');
  }

  /** For the environment of the Node-RED. */
  get env(): Record<string, string> {
    return { NODE_OPTIONS: `--require="${join(__dirname, 'task-rules.js')}"`, EXDICOM_TEST_RULES: this.#file };
  }

  /** In force from now on, instead of those before; what was met is forgotten. */
  set(...rules: readonly TaskRule[]): void {
    rmSync(`${this.#file}.met`, { force: true });
    writeFileSync(`${this.#file}.new`, JSON.stringify(rules));
    renameSync(`${this.#file}.new`, this.#file);
  }

  /** Tasks that a rule has met since. */
  met(): readonly Met[] {
    const file = `${this.#file}.met`;
    return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Met) : [];
  }
}
