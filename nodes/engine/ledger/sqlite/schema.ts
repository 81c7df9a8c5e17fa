/** The tables of the ledger and how older ones become them. Whoever changes a table appends a migration; none is ever edited. */

/** Marks the file as one of ours in its header: "EXDC". */
export const APPLICATION_ID = 0x45584443;

/**
 * Queries name the index where a primary key that also begins with the job would do: without statistics SQLite takes it
 * for the better one, and walks through the whole job for each of its files.
 *
 * What identifies a patient is in columns named `sealed` only: encrypted under the job's own key in `secret`, which is
 * overwritten when the job closes. Nulling alone leaves copies in unused parts of pages when SQLite rebalances its
 * trees, secure_delete or not. `mark` columns hold keyed digests, for looking things up without storing them.
 */
const TABLES = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE secret (job INTEGER PRIMARY KEY, key BLOB NOT NULL);
CREATE TABLE job (
  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, source_key TEXT NOT NULL, kind TEXT NOT NULL,
  state TEXT NOT NULL, outcome TEXT, attempt INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  next_at INTEGER, failures INTEGER NOT NULL DEFAULT 0, failing_since INTEGER, waits_for TEXT NOT NULL DEFAULT '[]',
  error_code TEXT, error_stage TEXT, error_message TEXT, doomed INTEGER NOT NULL DEFAULT 0,
  path TEXT, digest TEXT, bytes INTEGER NOT NULL DEFAULT 0, configuration TEXT, duplicate_of TEXT, issuer_mark BLOB, origin_mark BLOB,
  profile_name TEXT, profile_fingerprint TEXT, extraction_settings TEXT, extraction_summary TEXT, generation INTEGER NOT NULL DEFAULT 0,
  entries INTEGER NOT NULL DEFAULT 0, finish_node TEXT, required TEXT, closed_at INTEGER, announced INTEGER NOT NULL DEFAULT 0,
  receipt TEXT, sealed BLOB, sealed_origin BLOB
);
CREATE INDEX job_state ON job (state);
CREATE INDEX job_digest ON job (digest);
CREATE TABLE item (job INTEGER, n INTEGER, path TEXT, bytes INTEGER, sha256 TEXT, sealed BLOB, PRIMARY KEY (job, n)) WITHOUT ROWID;
CREATE TABLE entry (job INTEGER, n INTEGER, kind TEXT, code TEXT, bytes INTEGER, instance INTEGER, sealed BLOB, PRIMARY KEY (job, n)) WITHOUT ROWID;
CREATE TABLE instance (
  job INTEGER, n INTEGER, kind TEXT NOT NULL, mark BLOB NOT NULL, data_set TEXT NOT NULL, generation INTEGER NOT NULL, sealed BLOB,
  PRIMARY KEY (job, n)
) WITHOUT ROWID;
CREATE INDEX instance_mark ON instance (job, mark);
CREATE TABLE file (
  job INTEGER, path TEXT, instance INTEGER NOT NULL, stage TEXT NOT NULL, settings TEXT NOT NULL, source TEXT, sha256 TEXT NOT NULL,
  bytes INTEGER NOT NULL, mtime REAL, run TEXT NOT NULL, profile TEXT, sealed BLOB, PRIMARY KEY (job, path)
) WITHOUT ROWID;
CREATE INDEX file_source ON file (job, stage, source);
CREATE INDEX file_instance ON file (job, instance, stage);
CREATE TABLE destination (id INTEGER PRIMARY KEY, address TEXT NOT NULL UNIQUE, label TEXT NOT NULL);
CREATE TABLE delivery (
  job INTEGER, instance INTEGER, destination INTEGER, mark BLOB NOT NULL, uid TEXT, sha256 TEXT NOT NULL, state TEXT NOT NULL,
  level TEXT, code TEXT, status TEXT, warned INTEGER NOT NULL DEFAULT 0, attempt INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  PRIMARY KEY (job, instance, destination)
) WITHOUT ROWID;
CREATE INDEX delivery_mark ON delivery (destination, mark);
CREATE TABLE step (job INTEGER, step TEXT, position INTEGER NOT NULL, at INTEGER NOT NULL, code TEXT, PRIMARY KEY (job, step)) WITHOUT ROWID;
CREATE TABLE crash (job INTEGER, stage TEXT, open INTEGER NOT NULL, crashes INTEGER NOT NULL, done INTEGER NOT NULL,
  pieces INTEGER NOT NULL DEFAULT 0, best INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (job, stage)) WITHOUT ROWID;
CREATE TABLE remembered_key (name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE quarantine (
  job TEXT, instance INTEGER, folder TEXT NOT NULL, code TEXT NOT NULL, stage TEXT NOT NULL, detail TEXT, path TEXT,
  moved INTEGER NOT NULL DEFAULT 0, at INTEGER NOT NULL, PRIMARY KEY (job, instance)
) WITHOUT ROWID;
CREATE TABLE event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT, name TEXT, at INTEGER NOT NULL, event TEXT NOT NULL, code TEXT, stage TEXT, hash TEXT NOT NULL
);
CREATE INDEX event_job ON event (job);
`;

/**
 * Events carry who acted and what they concern, and the line of the journal that they are. Those of before have none: the
 * journal goes on from their last hash.
 */
const JOURNAL = `
ALTER TABLE event ADD COLUMN who TEXT;
ALTER TABLE event ADD COLUMN instances TEXT;
ALTER TABLE event ADD COLUMN other TEXT;
ALTER TABLE event ADD COLUMN line TEXT;
INSERT INTO meta (name, value)
  SELECT 'head', coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0) || ' ' || value FROM meta WHERE name = 'chain';
DELETE FROM meta WHERE name = 'chain';
`;

/**
 * What became of a file that was set aside: `gone` says how it left (released, discarded, expired, removed by hand), or
 * `elsewhere` where it lies in the folder of the job that it was released from. What a release needs of a job that may be
 * purged by then is kept beside it, sealed under a key that goes with the last of its files.
 */
const QUARANTINE = `
ALTER TABLE quarantine ADD COLUMN profile TEXT;
ALTER TABLE quarantine ADD COLUMN gone TEXT;
ALTER TABLE quarantine ADD COLUMN gone_at INTEGER;
ALTER TABLE quarantine ADD COLUMN decided_at INTEGER;
ALTER TABLE quarantine ADD COLUMN who TEXT;
ALTER TABLE quarantine ADD COLUMN released_to TEXT;
ALTER TABLE quarantine ADD COLUMN released_item INTEGER;
CREATE INDEX quarantine_release ON quarantine (released_to);
CREATE TABLE quarantine_source (job TEXT PRIMARY KEY, name TEXT NOT NULL, source_key TEXT NOT NULL, key BLOB, sealed BLOB) WITHOUT ROWID;
INSERT INTO quarantine_source (job, name, source_key) SELECT id, name, source_key FROM job WHERE id IN (SELECT job FROM quarantine);
ALTER TABLE job ADD COLUMN release_of TEXT;
ALTER TABLE job ADD COLUMN release_profile TEXT;
`;

/** The policy that a retry node gave a job, the earliest time that a destination asked for, and what destinations' queries have shown. */
const RETRY = `
ALTER TABLE job ADD COLUMN policy TEXT;
ALTER TABLE job ADD COLUMN not_before INTEGER;
CREATE TABLE shown (query TEXT PRIMARY KEY, image INTEGER NOT NULL) WITHOUT ROWID;
`;

/**
 * What persons do: holds, and originals that are left where they are. `subject` is by what a job is found again; `again_of`
 * is the job that one repeats, `family` the first of them all.
 */
const OPERATING = `
CREATE TABLE hold (kind TEXT, target TEXT, mode TEXT NOT NULL, who TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (kind, target)) WITHOUT ROWID;
CREATE TABLE put_back (source_key TEXT, mark BLOB, job TEXT NOT NULL, PRIMARY KEY (source_key, mark)) WITHOUT ROWID;
CREATE TABLE subject (job INTEGER, mark BLOB, PRIMARY KEY (job, mark)) WITHOUT ROWID;
CREATE INDEX subject_mark ON subject (mark);
CREATE INDEX delivery_state ON delivery (destination, state);
ALTER TABLE job ADD COLUMN again_of TEXT;
ALTER TABLE job ADD COLUMN family TEXT;
CREATE INDEX job_again ON job (again_of);
CREATE INDEX job_family ON job (family);
`;

/** Of the file that `extract` made: files with the same bytes need no digest of their data sets; `data_set` is empty where none was needed. */
const INSTANCE_FILE = `
ALTER TABLE instance ADD COLUMN sha256 TEXT;
UPDATE instance SET sha256 = (SELECT file.sha256 FROM file WHERE file.job = instance.job AND file.instance = instance.n AND file.stage = 'extract');
`;

/** The node that took a job in, where that node's jobs stay its own when it is told to listen elsewhere. */
const TAKEN_BY = `
ALTER TABLE job ADD COLUMN node TEXT;
ALTER TABLE quarantine_source ADD COLUMN node TEXT;
`;

/** Migration n takes a database from version n to n + 1. */
export const MIGRATIONS: readonly string[] = [TABLES, JOURNAL, QUARANTINE, RETRY, OPERATING, INSTANCE_FILE, TAKEN_BY];
