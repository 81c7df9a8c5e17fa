/** What `deliver` asks of a ledger, in memory: plans by what was recorded, and remembers every record. */
import type { DeliveryLedger } from '../../nodes/engine/dimse/deliver';
import type { DeliveryResult, HoldMode, PlannedDelivery, Shown } from '../../nodes/engine/ledger/ledger-types';
import type { DicomFile, JobId, JobToken, OwnPath, Sha256 } from '../../nodes/engine/model';

export interface DeliveryLedgerInMemory extends DeliveryLedger {
  readonly token: JobToken;
  /** Every call of `recordDeliveries`. */
  readonly records: ReadonlyArray<readonly DeliveryResult[]>;
  /** Addresses that were told to be up. */
  readonly up: readonly string[];
  /** What is known of an instance. */
  standing(instance: number): Partial<DeliveryResult>;
  /** As if an earlier attempt had recorded it. */
  remember(result: DeliveryResult): void;
  /** What a person does to the destination. */
  hold(mode: HoldMode | undefined): void;
  /** What the destinations' queries have shown. */
  readonly seen: Map<string, Shown>;
  /** From now on `recordDeliveries` throws this. */
  break(reason: unknown): void;
}

export function deliveryLedger(folder: string): DeliveryLedgerInMemory {
  const known = new Map<number, DeliveryResult>();
  const records: DeliveryResult[][] = [];
  const up: string[] = [];
  const seen = new Map<string, Shown>();
  let held: HoldMode | undefined;
  let broken: { reason: unknown } | undefined;
  return {
    token: { id: 'job-1' as JobId, name: 'test 0001', ledger: 'ledger', attempt: 1 },
    records, up,
    standing: (instance) => known.get(instance) ?? {},
    remember: (result) => { known.set(result.instance, result); },
    break: (reason) => { broken = { reason }; },
    planDeliveries: (_id, _destination, files: readonly DicomFile[]) => Promise.resolve(files.map((file, index): PlannedDelivery => {
      const instance = file.instance ?? 1_000 + index;
      const result = known.get(instance);
      return {
        file: { ...file, instance }, sha256: '' as Sha256, state: result?.state ?? 'pending', warned: result?.warned ?? false,
        ...(result?.level === undefined ? {} : { level: result.level }), ...(result?.code === undefined ? {} : { code: result.code }),
      };
    })),
    recordDeliveries: (_id, _destination, results) => {
      // A failed write tells the same as a failed disk: nothing of it is known afterwards.
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors
      if (broken !== undefined) return Promise.reject(broken.reason);
      records.push([...results]);
      for (const result of results) known.set(result.instance, result);
      return Promise.resolve();
    },
    stageFolder: () => Promise.resolve(folder as OwnPath),
    destinationUp: (address) => { up.push(address); },
    status: () => ({ state: 'ready', open: 1, parked: 0, orphaned: 0, quarantined: 0 }),
    destinationDown: () => ({ [Symbol.dispose]: () => { /* nothing waits here */ } }),
    destinationTrial: () => false,
    waitingFor: () => 1,
    held: () => held,
    begun: () => Promise.resolve([...known.values()].some(({ state }) => state !== 'pending')),
    hold: (mode) => { held = mode; },
    shown: (query) => Promise.resolve(seen.get(query) ?? { any: false, image: false }),
    rememberShown: (query, shown) => { seen.set(query, shown); return Promise.resolve(); },
    seen,
  };
}
