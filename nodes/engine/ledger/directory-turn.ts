/** One open store per directory and process: a redeploy opens the same directory again while the old ledger still closes. */
import { ExdicomError } from '../errors';

interface Turn {
  /** Resolves when the directory is free, once closing has begun. */
  readonly over: Promise<void>;
  closing: boolean;
}

const turns = new Map<string, Turn>();

export interface DirectoryTurn {
  /** The holder is going: whoever comes next waits instead of failing. */
  closing(): void;
  /** The directory is free. */
  end(): void;
}

/**
 * @param directory absolute, without links.
 * @param goes whether whoever asks is closing already, by the time it has its turn.
 * @throws {ExdicomError} LEDGER_LOCKED where a ledger of this process has the directory and is not closing.
 */
export async function takeTurn(directory: string, goes: () => boolean): Promise<DirectoryTurn> {
  for (let before = turns.get(directory); before !== undefined; before = turns.get(directory)) {
    if (!before.closing) throw new ExdicomError('LEDGER_LOCKED', { detail: 'another ledger node has this directory' });
    await before.over;
  }
  let end!: () => void;
  const turn: Turn = { over: new Promise((done) => { end = done; }), closing: goes() };
  turns.set(directory, turn);
  return {
    closing: () => { turn.closing = true; },
    end: () => {
      if (turns.get(directory) === turn) turns.delete(directory);
      turn.closing = true;
      end();
    },
  };
}
