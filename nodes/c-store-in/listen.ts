import type { Receiver } from '../engine/dimse/receive';
import { toExdicomError } from '../engine/errors';
import type { ExdicomError } from '../engine/errors';

/** Listens as soon as that is possible. `failed` is told why not yet, or not at all, and whether that is what it was told last. Never rejects. */
export async function listen(receiver: Receiver, signal: AbortSignal, failed: (error: ExdicomError, again: boolean) => void, listens: () => void): Promise<void> {
  let told: string | undefined;
  const tell = (error: ExdicomError): void => {
    failed(error, error.message === told);
    told = error.message;
  };
  try {
    await receiver.startWhenPossible(signal, tell);
    listens();
  } catch (thrown) {
    if (!signal.aborted) tell(toExdicomError(thrown));
  }
}
