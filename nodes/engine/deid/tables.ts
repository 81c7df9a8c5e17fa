/**
 * The facts of PS3.15 Table E.1-1 (edition 2026d), of the attribute Types of PS3.3 that decide its combination codes, and of
 * the text attributes that hold technical terms only. They are data beside this file, read once per thread.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Tag } from '../dicom/rewrite-types';

/** Edition of PS3.15 that `e1-1.tsv` holds. */
export const TABLE_EDITION = '2026d';

/** What can be done with an attribute (PS3.15, E.1.1): remove, empty, dummy, new UID; U*: keep a sequence, its UIDs replaced. */
export type Code = 'X' | 'Z' | 'D' | 'U' | 'U*';

export interface TableRow {
  /** Value Representation in the standard. */
  readonly vr: string;
  /** The alternatives of a combination code, weakest first; one for a plain code. */
  readonly codes: readonly Code[];
  /** Whether the Retain Longitudinal Temporal Information with Modified Dates Option lets a shifted value stay. */
  readonly shiftable: boolean;
}

export interface Tables {
  readonly rows: ReadonlyMap<Tag, TableRow>;
  /** By SOP Class UID: where an attribute's code is not the weakest of its row. A class without an entry is unknown. */
  readonly classes: ReadonlyMap<string, ReadonlyMap<Tag, Code>>;
  /** Type 1, 2 or 3 of an attribute directly inside a sequence, conditional Types counted as required. */
  type(sequence: Tag | undefined, tag: Tag): 1 | 2 | 3 | undefined;
  /** Unlisted text attributes whose values are terms of the standard, of vendors or of code lists. */
  readonly technical: ReadonlySet<Tag>;
  /** SHA-256 over all of the above, as in the files. */
  readonly digest: string;
}

const FILES = ['e1-1.tsv', 'iod.tsv', 'types.tsv', 'technical.tsv'] as const;
const MODIFIED_DATES = 9;

function lines(text: string): string[][] {
  return text.split('\n').slice(1).filter((line) => line !== '').map((line) => line.split('\t'));
}

const tagOf = (hex: string): Tag => Number.parseInt(hex, 16);

/** A lookup key for a pair of tags that stays an exact integer. */
const pair = (sequence: Tag, tag: Tag): string => `${sequence}/${tag}`;

function parse([table, iods, types, technical]: readonly string[], digest: string): Tables {
  const rows = new Map<Tag, TableRow>();
  for (const fields of lines(table ?? '')) {
    const [tag = '', vr = '', basic = ''] = fields;
    // Odd groups and 50xx are rules, not rows: see rules.ts. Overlay groups repeat in 60xx.
    if (!/^[0-9A-F]{8}$/.test(tag)) continue;
    rows.set(tagOf(tag), { vr, codes: basic.split('/') as Code[], shiftable: fields[MODIFIED_DATES] === 'C' });
  }
  const classes = new Map<string, Map<Tag, Code>>();
  for (const [uid = '', actions = ''] of lines(iods ?? '')) {
    classes.set(uid, new Map(actions.split(' ').filter((action) => action !== '').map((action) => [tagOf(action.slice(0, 8)), action.slice(8) as Code])));
  }
  const byPlace = new Map<string, 1 | 2 | 3>();
  for (const [sequence = '', tag = '', type] of lines(types ?? '')) {
    byPlace.set(pair(sequence === '-' ? 0 : tagOf(sequence), tagOf(tag)), type === '1' ? 1 : type === '2' ? 2 : 3);
  }
  return {
    rows,
    classes,
    type: (sequence, tag) => byPlace.get(pair(sequence ?? 0, tag)),
    technical: new Set(lines(technical ?? '').map(([tag = '']) => tagOf(tag))),
    digest,
  };
}

let loaded: Tables | undefined;

/** The tables, read from beside this file at first use. */
export function tables(): Tables {
  if (loaded === undefined) {
    const texts = FILES.map((name) => readFileSync(join(__dirname, name), 'utf8'));
    loaded = parse(texts, createHash('sha256').update(texts.join('\0')).digest('hex'));
  }
  return loaded;
}
