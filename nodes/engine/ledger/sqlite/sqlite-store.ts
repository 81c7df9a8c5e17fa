/** The store's calls over SQLite, by what they are about. Synchronous: the thread they run on has nothing else to do. */
import type { JobStore, Synchronous } from '../store';
import { actingOperations } from './acting';
import { askingOperations } from './asking';
import { closingOperations } from './closing';
import type { Database } from './database';
import { deliveryOperations } from './deliveries';
import { extractionOperations } from './extraction';
import { fileOperations } from './files';
import { jobOperations } from './jobs';
import { JobTable } from './job-table';
import { quarantineOperations } from './quarantine';

export function sqliteStore(database: Database): Synchronous<JobStore> {
  const table = new JobTable(database);
  return {
    ...jobOperations(database, table),
    ...extractionOperations(database, table),
    ...fileOperations(database, table),
    ...deliveryOperations(database, table),
    ...quarantineOperations(database, table),
    ...closingOperations(database, table),
    ...askingOperations(database, table),
    ...actingOperations(database, table),
  };
}
