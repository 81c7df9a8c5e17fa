/** Points in time as people and programs write them. */

const UNITS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `24h` (before now; also s, m, d), `2026-11-01` or any ISO 8601 date, or milliseconds since 1970; undefined for anything else. */
export function instantOf(text: string, now = Date.now()): number | undefined {
  const [, count, unit] = /^(\d{1,9}) ?([smhd])$/.exec(text) ?? [];
  if (count !== undefined && unit !== undefined) return now - Number(count) * UNITS[unit as keyof typeof UNITS]; // matched by the expression
  if (/^\d{12,14}$/.test(text)) return Number(text);
  if (!/^\d{4}-\d{2}-\d{2}(T|$)/.test(text)) return undefined;
  const instant = Date.parse(text);
  return Number.isNaN(instant) ? undefined : instant;
}
