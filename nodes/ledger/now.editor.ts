/** What the ledger says of itself, while its dialog is open. */
import { translate, type EditorNode } from '../editor/red';

/** The runtime's answer: numbers and codes. */
interface Now {
  /** Absent where it is not deployed. */
  readonly state?: string;
  readonly open: number;
  readonly parked: number;
  readonly quarantined: number;
  readonly journal?: string;
}

export function showNow(node: EditorNode): void {
  // Relative: only then does the editor add its token and the root of the admin API.
  const request = $.ajax({ url: `exdicom/ledger/${encodeURIComponent(node.id)}/status`, method: 'GET' });
  request.done(({ state, open, parked, quarantined, journal }: Now) => {
    if (state !== 'ready' && state !== 'paused') return;
    const lines = [translate(node, 'now.counts', { open, parked, quarantined })];
    if (state === 'paused') lines.push(translate(node, 'now.paused'));
    if (journal !== undefined) lines.push(translate(node, 'now.journal'));
    $('#exdicom-ledger-now').text(lines.join(' ')).show();
  });
}
