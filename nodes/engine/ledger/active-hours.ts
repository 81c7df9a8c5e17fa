/** Hours of the day, and days of the week, at which parked jobs may be sent again. Local time. */

/** As `Date.getDay` counts them. */
export const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
export type Day = (typeof DAYS)[number];

export interface ActiveHours {
  /** Minutes since midnight. Where `to` is not after `from` they end on the next day; where both are equal they last for a whole one. */
  readonly from: number;
  readonly to: number;
  /** On which they begin; empty: every day. */
  readonly days: readonly Day[];
}

const TIME = /^([01]?\d|2[0-3]):([0-5]\d)$/;
const DAY_MINUTES = 24 * 60;

/** Minutes since midnight of `20:00`; undefined where it is no time of day. */
export function minutesOf(text: string): number | undefined {
  const [, hours, minutes] = TIME.exec(text.trim()) ?? [];
  return hours === undefined ? undefined : Number(hours) * 60 + Number(minutes);
}

/** The first moment from `at` on that lies within the hours; both in milliseconds since 1970. */
export function nextActive(hours: ActiveHours | undefined, at: number): number {
  if (hours === undefined) return at;
  const length = hours.to > hours.from ? hours.to - hours.from : hours.to - hours.from + DAY_MINUTES;
  const day = new Date(at);
  // Those that began yesterday may last until now; with a day chosen, the next ones begin within a week.
  for (let ahead = -1; ahead <= 7; ahead += 1) {
    const date = [day.getFullYear(), day.getMonth(), day.getDate() + ahead] as const;
    const begin = new Date(...date, 0, hours.from);
    if (hours.days.length > 0 && !hours.days.includes(DAYS[begin.getDay()] ?? 'sun')) continue;
    // By the clock on the wall, so that a day of 23 or 25 hours is one as well.
    const end = new Date(...date, 0, hours.from + length).getTime();
    if (at < end) return Math.max(at, begin.getTime());
  }
  return at;
}
