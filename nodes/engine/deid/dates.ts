/** Dates that move by whole days: DA and DT values of PS3.5, 6.2, as they are met in real files. */

const DAY = 86_400_000;
const DATE = /^(\d{4})(?:(\d{2})(?:(\d{2}))?)?$/;
/** ACR-NEMA 2.0 wrote 1993.08.22, which readers still accept (PS3.5, 6.2). */
const ACR_DATE = /^(\d{4})\.(\d{2})\.(\d{2})$/;
const DATE_TIME = /^(\d{4,14}(?:\.\d{1,6})?)([+-](?:0\d|1[0-4])[0-5]\d)?$/;
const TIME = /^(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?$/;
const ACR_TIME = /^(?:[01]\d|2[0-3]):[0-5]\d(?::(?:[0-5]\d|60)(?:\.\d{1,6})?)?$/;

const digits = (value: number, count: number): string => String(value).padStart(count, '0');

/** Days since 1970 of a day that exists in the calendar; undefined for 31 February and the like. */
function dayNumber(year: number, month: number, day: number): number | undefined {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCFullYear() === year && date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? date.getTime() / DAY : undefined;
}

/** The day `days` before, with the same precision and separator; undefined where there is no such day or it would lie before the year 1. */
function shiftOne(value: string, days: number): string | undefined {
  const acr = ACR_DATE.exec(value);
  const parts = acr ?? DATE.exec(value);
  const [, year, month, day] = parts ?? [];
  if (year === undefined) return undefined;
  const number = dayNumber(Number(year), Number(month ?? '1'), Number(day ?? '1'));
  if (number === undefined) return undefined;
  const date = new Date((number - days) * DAY);
  if (date.getUTCFullYear() < 1) return undefined;
  const shifted = [digits(date.getUTCFullYear(), 4)];
  if (month !== undefined) shifted.push(digits(date.getUTCMonth() + 1, 2));
  if (day !== undefined) shifted.push(digits(date.getUTCDate(), 2));
  return shifted.join(acr === null ? '' : '.');
}

/** Every value of an attribute, and the ends of a range, through one function; undefined as soon as one of them cannot be read. */
function each(value: string, one: (part: string) => string | undefined, ends: (part: string) => readonly string[]): string | undefined {
  const values: string[] = [];
  for (const single of value.split('\\')) {
    const range: string[] = [];
    for (const end of ends(single)) {
      const shifted = end.trim() === '' ? '' : one(end.trim());
      if (shifted === undefined) return undefined;
      range.push(shifted);
    }
    values.push(range.join('-'));
  }
  return values.join('\\');
}

/** A DA value moved back by `days`: several values, ranges, the old form and partial dates included. Undefined where it is no date. */
export function shiftDate(value: string, days: number): string | undefined {
  return each(value, (part) => shiftOne(part, days), (part) => part.split('-'));
}

/** Where a hyphen in a DT is a range and where the sign of an offset (`2020-0500`): four digits up to 1459 at the end are an offset. */
function rangeOf(value: string): readonly string[] {
  if (value.trim() === '' || DATE_TIME.test(value.trim())) return [value];
  for (let at = value.indexOf('-'); at >= 0; at = value.indexOf('-', at + 1)) {
    const ends = [value.slice(0, at).trim(), value.slice(at + 1).trim()];
    if (ends.every((end) => end === '' || DATE_TIME.test(end))) return ends;
  }
  return [value];
}

/** A DT value whose date moves back by `days`; time of day, fraction and offset stay as they are. Undefined where it is no DT. */
export function shiftDateTime(value: string, days: number): string | undefined {
  return each(value, (part) => {
    const [, moment, offset = ''] = DATE_TIME.exec(part) ?? [];
    if (moment === undefined) return undefined;
    const time = moment.slice(8);
    const date = shiftOne(moment.slice(0, 8), days);
    if (date === undefined || (time !== '' && (date.length !== 8 || !TIME.test(time)))) return undefined;
    return date + time + offset;
  }, rangeOf);
}

/** Whether every value of a TM is a time of day, alone or as a range, and nothing else. */
export function isTime(value: string): boolean {
  return value.split('\\').every((single) => single.split('-').every((end) => end.trim() === '' || TIME.test(end.trim()) || ACR_TIME.test(end.trim())));
}
