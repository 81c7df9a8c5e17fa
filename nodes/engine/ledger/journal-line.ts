/**
 * One event as one line of JSON. The hash is made over the line as it stands without its last field, so that it can be
 * checked with nothing but the file and a program that computes SHA-256; `prev` is the hash of the line before.
 */
import { hash } from 'node:crypto';
import type { ErrorCode, Stage } from '../errors';

/** What an event says beside its name. Codes, numbers and names of our own: no value of a patient, no foreign string. */
export interface EventFacts {
  readonly code?: ErrorCode | undefined;
  readonly stage?: Stage | undefined;
  /** The person who acted. */
  readonly who?: string | undefined;
  /** Numbers of the instances that it concerns. */
  readonly instances?: readonly number[] | undefined;
  /** What else it concerns: another job's id, the address of a destination, the key of a source, the name of a profile. */
  readonly other?: string | undefined;
}

/** The fields of a line, in their order. */
export interface JournalLine {
  /** Without a gap, from 1. */
  readonly seq: number;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Id and neutral name of the job; absent where the event concerns none. */
  readonly job?: string;
  readonly name?: string;
  readonly event: string;
  readonly code?: string;
  readonly stage?: string;
  readonly who?: string;
  /** `1-3,7` */
  readonly instances?: string;
  readonly other?: string;
  /** Empty in the first line of a ledger. */
  readonly prev: string;
  readonly hash: string;
}

const SEALED = /^(\{.*),"hash":"([0-9a-f]{64})"\}$/;

/** @returns the line and its hash. */
export function sealLine({ seq, at, job, name, event, code, stage, who, instances, other, prev }: Omit<JournalLine, 'hash'>): { readonly line: string; readonly hash: string } {
  // In this order whatever the caller's was; what is undefined is left out.
  const text = JSON.stringify({ seq, at, job, name, event, code, stage, who, instances, other, prev });
  const sealed = hash('sha256', text);
  return { line: `${text.slice(0, -1)},"hash":"${sealed}"}`, hash: sealed };
}

/** The fields of a line, if its hash is that of its text. */
export function openLine(line: string): JournalLine | undefined {
  const [, text, sealed] = SEALED.exec(line) ?? [];
  if (text === undefined || hash('sha256', `${text}}`) !== sealed) return undefined;
  try {
    return JSON.parse(line) as JournalLine; // what has this hash was written by sealLine, or by somebody who could have made all of the chain
  } catch {
    return undefined;
  }
}

/** Numbers as `1-3,7`. */
export function rangesOf(numbers: readonly number[]): string {
  const ranges: Array<[first: number, last: number]> = [];
  for (const n of [...new Set(numbers)].toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === n - 1) last[1] = n;
    else ranges.push([n, n]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
}
