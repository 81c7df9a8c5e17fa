/**
 * The one error class of the pack and the one table of its codes. Whether a failure is worth retrying is decided
 * here and nowhere else; the help of each node and the README are generated from, or checked against, this table.
 */
import { constants } from 'node:os';

/** Where in a job's life an error arises. `config` errors stop a node before it has taken any job. */
export type Stage =
  | 'config' | 'ledger' | 'intake' | 'extract' | 'transcode' | 'anonymize' | 'deliver' | 'verify' | 'receive' | 'finish';

export interface ErrorEntry {
  /** Where it arises first. */
  readonly stage: Stage;
  /** True where the same attempt may succeed later without anybody changing anything. */
  readonly retryable: boolean;
  /** What happened, in a sentence. Never holds a value of a patient. */
  readonly cause: string;
  /** What a person can do about it, in a sentence. */
  readonly remedy: string;
}

const entry = (stage: Stage, retryable: boolean, cause: string, remedy: string): ErrorEntry => ({ stage, retryable, cause, remedy });

export const ERRORS = {
  // --- configuration
  CONFIG_INVALID: entry('config', false, 'A setting of the node is missing or not valid.', 'Open the node, correct the marked setting and deploy.'),
  PROFILE_MISSING: entry('config', false, 'No deid-profile has the name that this job was released under, or several have it.', 'Add one of that name, or rename the others, and deploy; or cancel the job and release its files under another.'),
  LEDGER_MISSING: entry('config', false, 'The node has no ledger, or its ledger is disabled.', 'Choose a ledger in the node and deploy.'),
  KEY_MISSING: entry('config', false, 'The de-identification key that this ledger was used with cannot be found.', 'Put the same key back (EXDICOM_DEID_KEY, the profile, or the key file); nothing is sent until then.'),
  KEY_CHANGED: entry('config', false, 'The de-identification key is not the one that this ledger was used with.', 'Put the former key back, or choose another scope in the profile for new pseudonyms.'),
  KEY_TOO_SHORT: entry('config', false, 'The de-identification key has fewer than 32 characters.', 'Use a random key of at least 32 characters.'),

  // --- ledger
  LEDGER_LOCKED: entry('ledger', true, 'Another process holds the ledger of this directory.', 'Stop the other Node-RED, or give this ledger a directory of its own.'),
  LEDGER_NEWER: entry('ledger', false, 'The ledger was written by a newer version of this pack.', 'Update the pack, or use another directory.'),
  LEDGER_DAMAGED: entry('ledger', false, 'The ledger file cannot be read.', 'Keep the directory, restore the file from a copy, or start with another directory.'),
  LEDGER_CLOSED: entry('ledger', true, 'The ledger is closing.', 'Nothing to do: the job goes on after the start.'),
  DISK_FULL: entry('ledger', true, 'The disk of the ledger\'s folder, or of a destination folder, is full.', 'Free space there; the job goes on by itself.'),
  STORAGE_FAILED: entry('ledger', true, 'Reading or writing the ledger\'s folder, or a destination folder, failed.', 'Look at its disk, its mount, its permissions and what is in the way there; the job goes on by itself.'),
  INTERRUPTED: entry('ledger', true, 'The node was closed while it worked on this message.', 'Nothing to do: the source sends the job again.'),
  JOB_UNKNOWN: entry('ledger', false, 'This ledger does not know the job, or has closed it.', 'Send the archive again from its source; do not store messages to inject them later.'),
  JOB_STATE: entry('ledger', false, 'The job is in a state in which this cannot be done to it.', 'Look at its state: what is open can be cancelled, what waits can be tried now, what is closed can be sent again.'),
  NOT_IN_QUARANTINE: entry('ledger', false, 'No such file lies in quarantine, or it is being released already.', 'Ask for the list of the quarantine again.'),
  RELEASE_REFUSED: entry('ledger', false, 'The file was de-identified before it was set aside; to do it once more would tear it from its study.', 'Send its job again when the cause is fixed, or discard the file.'),
  REQUEST_INVALID: entry('ledger', false, 'A request to the jobs node lacks something, or holds a value that does not fit.', 'Correct what is named in brackets.'),
  REQUEST_REFUSED: entry('ledger', false, 'A request that acts or names a patient came over HTTP by GET, or from another web site.', 'Send it by POST from a page of your own.'),
  JOB_CANCELLED: entry('ledger', false, 'A person cancelled the job.', 'Send it again if that was a mistake.'),
  WORKER_CRASHED: entry('ledger', true, 'The worker that had this job ended unexpectedly.', 'Nothing to do: it is tried again, alone, and set aside if it happens again.'),
  WORKER_TIMEOUT: entry('ledger', false, 'A task of this job ran longer than its time limit.', 'Look at the file that was set aside; raise the time limit if it is only large.'),
  CONDEMNED: entry('ledger', false, 'This job ended its worker or the process three times.', 'Look at the files in the quarantine folder before you send them again.'),
  INTERNAL: entry('ledger', false, 'The pack met a state that it does not know.', 'Report it with the code, the stage and the version.'),

  // --- intake
  SOURCE_GONE: entry('intake', false, 'The source disappeared while it was read.', 'Put it back into the source.'),
  SOURCE_UNREADABLE: entry('intake', true, 'The source cannot be read.', 'Check the permissions and the mount of the watched folder.'),
  SOURCE_CHANGED: entry('intake', true, 'The source changed while it was read.', 'Nothing to do: it is read again when it has stopped changing.'),
  NOTHING_TO_DO: entry('intake', false, 'The message carries neither a job nor a path, Buffer or list of files.', 'Wire a source in front, or set msg.payload.'),

  // --- extract
  UNSUPPORTED_ARCHIVE: entry('extract', false, 'The archive is of a kind that is not unpacked (7z, tar, gzip, iso).', 'Pack it as zip or rar, or put the files into a folder.'),
  ARCHIVE_DAMAGED: entry('extract', false, 'The archive is damaged or cut off.', 'Get a fresh copy of it.'),
  ARCHIVE_EMPTY: entry('extract', false, 'The archive holds no file.', 'Look at what was packed.'),
  NO_DICOM: entry('extract', false, 'None of the files is DICOM.', 'Look at what was packed.'),
  MISSING_VOLUME: entry('extract', false, 'A volume of the set is missing.', 'Put all volumes of the set into the source, then send it again.'),
  NEEDS_PASSWORD: entry('extract', false, 'The archive is encrypted and none of the passwords fits.', 'Add the password to the extract node, or give it for this job with a jobs node; the job waits for it.'),
  LIMIT_BYTES: entry('extract', false, 'The archive unpacks to more bytes than allowed.', 'Raise the limit in the extract node if the archive is trusted.'),
  LIMIT_ENTRIES: entry('extract', false, 'The archive has more entries than allowed.', 'Raise the limit in the extract node if the archive is trusted.'),
  LIMIT_RATIO: entry('extract', false, 'An entry unpacks to far more than it holds, as a zip bomb does.', 'Raise the limit in the extract node if the archive is trusted.'),
  LIMIT_DEPTH: entry('extract', false, 'Archives are nested deeper than allowed.', 'Raise the depth in the extract node, or unpack the inner archive.'),
  LIMIT_OVERLAP: entry('extract', false, 'Entries of the archive share the same bytes, as in a zip bomb.', 'Pack the files again with a common program.'),
  LIMIT_NAME: entry('extract', false, 'An entry has a longer name than allowed.', 'Rename it before packing, or raise the limit.'),
  LIMIT_TIME: entry('extract', false, 'Unpacking took longer than allowed.', 'Raise the time limit in the extract node.'),
  ENTRY_CRC: entry('extract', false, 'An entry does not match its checksum.', 'Get a fresh copy of the archive.'),
  ENTRY_METHOD: entry('extract', false, 'An entry is compressed by a method that is not supported.', 'Pack it again with Deflate.'),
  ENTRY_DAMAGED: entry('extract', false, 'An entry cannot be unpacked.', 'Get a fresh copy of the archive.'),
  ENTRY_ENCRYPTED: entry('extract', false, 'An entry is encrypted and none of the passwords fits.', 'Add the password to the extract node.'),
  ENTRY_LINK: entry('extract', false, 'An entry is a link and is not followed.', 'Pack the file itself.'),
  DICOM_UNREADABLE: entry('extract', false, 'A file begins like DICOM but cannot be read as it.', 'Get a fresh copy of the file.'),
  DICOM_INCOMPLETE: entry('extract', false, 'A DICOM file lacks its SOP Class UID or SOP Instance UID.', 'Export the file again from its system.'),
  DUPLICATE: entry('extract', false, 'The same instance is in the job already.', 'Nothing to do: it is sent once.'),
  UID_CONFLICT: entry('extract', false, 'Another instance with the same SOP Instance UID but other content came first.', 'Compare the two; the later one is in the quarantine folder.'),
  INCOMPLETE_MEDIA: entry('extract', false, 'The DICOMDIR names files that the archive does not hold.', 'Copy the whole medium.'),
  SEVERAL_PATIENTS: entry('extract', false, 'The job holds more than one patient and the node is set to stop.', 'Send one archive per patient, or change the setting.'),

  // --- anonymize
  PROFILE_CHANGED: entry('anonymize', false, 'The profile, its key or the engine changed while this job was under way.', 'Put the former profile back, or cancel the job and send it again.'),
  RISK_SOP_CLASS: entry('anonymize', false, 'Objects of this SOP Class often show a patient\'s name in the picture.', 'Look at it, then allow the SOP Class in the profile or leave it out.'),
  RISK_BURNED_IN: entry('anonymize', false, 'The object says of itself that its picture shows identifying text.', 'Mask it, or leave it out.'),
  RISK_IMAGE_TYPE: entry('anonymize', false, 'The Image Type says screen capture or secondary image.', 'Look at it, then allow it in the profile or leave it out.'),
  RISK_DOCUMENT: entry('anonymize', false, 'The object is an encapsulated or scanned document or a video.', 'De-identify the document by other means.'),
  RISK_PRIVATE_SOP_CLASS: entry('anonymize', false, 'The SOP Class is private, so nobody can say where it holds identifiers.', 'Convert it to a standard object, or allow it in the profile.'),
  RISK_WSI_LABEL: entry('anonymize', false, 'The image is the label or the overview of a slide.', 'Leave it out.'),
  DEID_NO_IDENTITY: entry('anonymize', false, 'The object names neither a patient nor a study, so it cannot be given a pseudonym.', 'Leave it out, or complete it at its source.'),
  DEID_UNREADABLE: entry('anonymize', false, 'The data set cannot be read to its end, so nobody can vouch for it.', 'Look at the file in the quarantine folder.'),
  DEID_UNSUPPORTED: entry('anonymize', false, 'The data set is encoded in a way that cannot be rewritten safely.', 'Convert the file, then send it again.'),
  DEID_LEAK: entry('anonymize', false, 'An identifier of the original was found in the result.', 'Look at the file in the quarantine folder and report it.'),

  // --- delivery
  NOT_DEIDENTIFIED: entry('deliver', false, 'The ledger does not know this file as de-identified.', 'Wire anonymize in front of this node, or allow identified data in the destination.'),
  DESTINATION_HELD: entry('deliver', true, 'A person has paused or is draining this destination.', 'Resume it with the jobs node; the job goes on by itself.'),
  PEER_UNREACHABLE: entry('deliver', true, 'No connection to the destination.', 'Check host, port and firewall; the job goes on by itself.'),
  PEER_TIMEOUT: entry('deliver', true, 'The destination did not answer in time.', 'Look at the destination; the job goes on by itself.'),
  PEER_CLOSED: entry('deliver', true, 'The destination closed the connection before it had answered.', 'Look at the destination\'s log; what it had not confirmed is sent again.'),
  PEER_ABORTED: entry('deliver', true, 'The destination aborted the association.', 'Look at the destination\'s log; what it had not confirmed is sent again.'),
  PEER_PROTOCOL: entry('deliver', true, 'The destination sent something that is not DICOM.', 'Check that the port is the DICOM port.'),
  ASSOCIATION_REJECTED: entry('deliver', false, 'The destination rejected the association for good.', 'Let its administrator enter our AE Title and address; check the called AE Title.'),
  ASSOCIATION_BUSY: entry('deliver', true, 'The destination rejected the association for now.', 'Nothing to do, or allow fewer associations in the PACS node.'),
  TLS_FAILED: entry('deliver', false, 'The TLS connection could not be made.', 'Check certificate, authority and host name in the TLS settings.'),
  NO_CONTEXT: entry('deliver', false, 'The destination does not accept this SOP Class in this transfer syntax.', 'Ask its administrator to accept it, or convert the files first.'),
  STORE_BUSY: entry('deliver', true, 'The destination is out of resources (status A7xx).', 'Free space at the destination; the job goes on by itself.'),
  STORE_REFUSED: entry('deliver', false, 'The destination refused the instance.', 'Look at the status and the destination\'s log.'),
  STORE_MISMATCH: entry('deliver', false, 'The destination says that data set and SOP Class do not match (status A9xx).', 'Look at the instance; it is left out.'),
  NOT_FOUND: entry('verify', true, 'The destination answered with success but does not show the instance.', 'Look for a filter or a quarantine at the destination; the instance is sent again.'),
  UNVERIFIABLE: entry('verify', false, 'The destination finds no instance at all, so its query cannot prove anything.', 'In the PACS node, fill in the system that answers queries, or let the C-STORE response count.'),
  QUERY_FAILED: entry('verify', true, 'The destination did not answer the query.', 'Check that it allows C-FIND from our AE Title.'),
  VERIFY_DIGEST: entry('verify', true, 'What lies at the destination is not what was written.', 'Look at the disk of the destination folder.'),
  LEFT_OUT: entry('finish', false, 'Instances of the job never reached a required destination.', 'Look at the wires and switches between the nodes, or allow it in finish.'),
  ACCOUNTING: entry('finish', false, 'The numbers of the job do not add up.', 'Report it with the receipt; the source is kept.'),
  GAVE_UP: entry('finish', false, 'The job was tried as often, or for as long, as the policy allows.', 'Fix the cause, then send it again.'),

  // --- receiving
  LISTEN_FAILED: entry('receive', true, 'The port cannot be opened for listening.', 'Choose another port or address, or stop the program that holds it.'),
  INTAKE_CLOSED: entry('receive', true, 'Intake is paused: by a person, for want of room, or because too many jobs are waiting.', 'Resume the source, free space or repair the destination; senders try again.'),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** Whether a job with this error waits until a person has mended a setting, rather than fail: its files are not at fault. */
export function awaitsPerson(code: ErrorCode): boolean {
  return ERRORS[code].stage === 'config' || code === 'PROFILE_CHANGED';
}

export interface ErrorDetails {
  /** The job's neutral name, never a value of a patient. */
  readonly job?: string;
  /** What makes this occurrence special: numbers, a status, our own names of things. Never a foreign string. */
  readonly detail?: string;
  /** What was thrown underneath. Kept for a debugger only: it may hold paths and values, so nothing prints or sends it. */
  readonly origin?: unknown;
  /** Where it arose, when that is not the table's stage. */
  readonly stage?: Stage;
  /** Address of the destination it concerns, so that its circuit can wake the job. */
  readonly destination?: string;
  /** The destination asked not to be tried before this many milliseconds. */
  readonly retryAfter?: number;
}

/**
 * Every error that leaves a node. Of its own properties Node-RED hands `code` and `cause` to Catch nodes in `msg.error`, and
 * the message, which ends with the remedy; `cause` is the table's sentence, never the foreign error underneath.
 */
export class ExdicomError extends Error {
  readonly code: ErrorCode;
  override readonly cause: string;
  readonly remedy: string;
  readonly retryable: boolean;
  readonly stage: Stage;
  readonly job: string | undefined;
  readonly detail: string | undefined;
  readonly destination: string | undefined;
  readonly retryAfter: number | undefined;
  readonly #origin: unknown;

  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    const known = ERRORS[code];
    const stage = details.stage ?? known.stage;
    const where = details.job === undefined ? stage : `${details.job}, ${stage}`;
    super(`${where}: ${known.cause}${details.detail === undefined ? '' : ` (${details.detail})`} ${known.remedy}`);
    this.name = 'ExdicomError';
    this.code = code;
    this.cause = known.cause;
    this.remedy = known.remedy;
    this.retryable = known.retryable;
    this.stage = stage;
    this.job = details.job;
    this.detail = details.detail;
    this.destination = details.destination;
    this.retryAfter = details.retryAfter;
    this.#origin = details.origin;
  }

  /** What was thrown underneath, for a debugger. Never print or send it. */
  origin(): unknown {
    return this.#origin;
  }

  /** The plain facts, which survive a structured clone (a thread boundary keeps no class and no own property of an Error). */
  toDetails(): { code: ErrorCode } & ErrorDetails {
    return {
      code: this.code,
      stage: this.stage,
      ...(this.job === undefined ? {} : { job: this.job }),
      ...(this.detail === undefined ? {} : { detail: this.detail }),
      ...(this.destination === undefined ? {} : { destination: this.destination }),
      ...(this.retryAfter === undefined ? {} : { retryAfter: this.retryAfter }),
    };
  }

  /** The same error told of a job; errors rise from places that do not know which job they work for. */
  forJob(job: string): ExdicomError {
    if (this.job !== undefined) return this;
    return new ExdicomError(this.code, { ...this.toDetails(), job, origin: this.#origin });
  }
}

const SYSTEM_CODES: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'DISK_FULL', EDQUOT: 'DISK_FULL', EFBIG: 'DISK_FULL',
  EIO: 'STORAGE_FAILED', EROFS: 'STORAGE_FAILED', EACCES: 'STORAGE_FAILED', EPERM: 'STORAGE_FAILED',
  EMFILE: 'STORAGE_FAILED', ENFILE: 'STORAGE_FAILED', ENOENT: 'STORAGE_FAILED', ESTALE: 'STORAGE_FAILED', ETIMEDOUT: 'STORAGE_FAILED',
  ENOTDIR: 'STORAGE_FAILED', EISDIR: 'STORAGE_FAILED', EEXIST: 'STORAGE_FAILED', ENOTEMPTY: 'STORAGE_FAILED', EBUSY: 'STORAGE_FAILED', ETXTBSY: 'STORAGE_FAILED', ELOOP: 'STORAGE_FAILED',
  ENODEV: 'STORAGE_FAILED', ENXIO: 'STORAGE_FAILED', ENOTCONN: 'STORAGE_FAILED', EHOSTDOWN: 'STORAGE_FAILED', EREMOTEIO: 'STORAGE_FAILED',
};

/** What the system calls errors by their numbers: Node has no names of its own for some, such as those of a used up quota and of a stale handle. */
const SYSTEM_NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
const NAMELESS = /^Unknown system error -(\d+)$/;

/** An error of the system, in the words of the table; undefined where it is none that it knows. */
function systemError(code: string): { readonly code: ErrorCode; readonly detail: string } | undefined {
  const number = NAMELESS.exec(code)?.[1];
  const name = number === undefined ? code : SYSTEM_NAMES.get(Number(number)) ?? `E${number}`;
  // The others that have no name are of file systems.
  const known = SYSTEM_CODES[name] ?? (number === undefined ? undefined : 'STORAGE_FAILED');
  return known === undefined ? undefined : { code: known, detail: name };
}

/**
 * Anything thrown, as an ExdicomError. A system error keeps only its `code` (its message holds paths); an unknown one
 * becomes INTERNAL, and what was thrown stays in `origin()`, which nothing prints.
 */
export function toExdicomError(thrown: unknown, details: ErrorDetails = {}): ExdicomError {
  if (thrown instanceof ExdicomError) return details.job === undefined ? thrown : thrown.forJob(details.job);
  const code = typeof thrown === 'object' && thrown !== null && 'code' in thrown ? thrown.code : undefined;
  if (typeof code === 'string' && code in ERRORS) return new ExdicomError(code as ErrorCode, { origin: thrown, ...details });
  const known = typeof code === 'string' ? systemError(code) : undefined;
  if (known !== undefined) return new ExdicomError(known.code, { origin: thrown, detail: known.detail, ...details });
  return new ExdicomError('INTERNAL', { origin: thrown, ...details });
}
