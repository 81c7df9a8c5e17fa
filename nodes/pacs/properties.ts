/** Saved properties of a `pacs`, shared by the node and its dialog. Numbers are text, since every setting accepts `${NAME:-default}`. */
export interface PacsProperties {
  name: string;
  host: string;
  port: string;
  /** The called AE Title: the PACS's. At most 16 characters (PS3.5, 6.2). */
  aet: string;
  /** The calling AE Title: ours. */
  callingAet: string;
  /** Id of a `tls-config` node, or empty for plain TCP. */
  tls: string;
  /** What counts as arrived. */
  verification: 'response' | 'C-FIND';
  /** Who answers C-FIND; each empty one is the same as above. */
  queryHost: string;
  queryPort: string;
  queryAet: string;
  /** Minutes to wait for an instance to be found before it counts as not found. */
  findWait: string;
  /** Seconds between two C-ECHOs while the PACS does not answer. */
  probeInterval: string;
  /** Associations side by side, 1 to 16. */
  associations: string;
  /** Seconds. */
  connectTimeout: string;
  associationTimeout: string;
  responseTimeout: string;
  /** Seconds in which the peer must take at least one byte. */
  writeTimeout: string;
  releaseTimeout: string;
  /** Write the next header early where the peer is DCMTK's, which otherwise waits 40 ms before each response. */
  nudge: boolean;
  /** Rule 8: instances that the ledger does not know as de-identified may be sent here. */
  identifiedAllowed: boolean;
}

export const defaults: PacsProperties = {
  name: '',
  host: '',
  port: '11112',
  aet: '',
  callingAet: '${EXDICOM_AET:-EXDICOM}',
  tls: '',
  verification: 'C-FIND',
  queryHost: '',
  queryPort: '',
  queryAet: '',
  findWait: '15',
  probeInterval: '30',
  associations: '1',
  connectTimeout: '10',
  associationTimeout: '30',
  responseTimeout: '120',
  writeTimeout: '60',
  releaseTimeout: '10',
  nudge: true,
  identifiedAllowed: false,
};
