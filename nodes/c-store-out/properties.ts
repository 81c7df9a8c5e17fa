/** Saved properties of a `c-store-out`, shared by the node and its dialog. */
export interface CStoreOutProperties {
  /** Also the destination's name in `msg.delivered`, receipts and `finish`; empty: its address. */
  name: string;
  /** Id of a `ledger`; used only for messages that carry no job. */
  ledger: string;
  /** Id of a `pacs`. */
  pacs: string;
}

export const defaults: CStoreOutProperties = { name: '', ledger: '', pacs: '' };
