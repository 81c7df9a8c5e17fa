/** Saved properties of a `c-store-in`, shared by the node and its dialog. Numbers are text, since every setting accepts `${NAME:-default}`. */
export interface CStoreInProperties {
  name: string;
  /** Id of a `ledger`. */
  ledger: string;
  /** Address to listen on; `0.0.0.0` for every one. */
  host: string;
  port: string;
  /** Our AE Title. */
  aet: string;
  /** Id of a `tls-config` node, or empty for plain TCP. */
  tls: string;
  /** With TLS: callers need a certificate of its authority. */
  clientCertificate: boolean;
  /** Refuse associations that call another AE Title than ours. */
  checkAet: boolean;
  /** Calling AE Titles that are let in, one per line; empty: every one. */
  callers: string;
  /** Addresses that are let in, one per line; empty: every one. */
  addresses: string;
  /** Seconds without a new instance after which a study is a job, 1 to 86,400. */
  quiet: string;
  /** Associations side by side, 1 to 100. */
  associations: string;
  /** Default Issuer of Patient ID: separates two hospitals that share a PatientID. */
  issuer: string;
}

export const defaults: CStoreInProperties = {
  name: '',
  ledger: '',
  host: '127.0.0.1',
  port: '${EXDICOM_LISTEN_PORT:-11112}',
  aet: '${EXDICOM_AET:-EXDICOM}',
  tls: '',
  clientCertificate: false,
  checkAet: false,
  callers: '',
  addresses: '',
  quiet: '10',
  associations: '10',
  issuer: '',
};
