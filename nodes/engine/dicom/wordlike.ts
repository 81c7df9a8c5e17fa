/** Whether bytes that should be numbers or pixels read as words. */

const RUN = /[0-9A-Za-z ^.-]{8,}/g;

/**
 * Whether there are `least` letters and digits in a row, 8 or more, that go up and down as words do: tables of greys and
 * colours, which pass through all letters, go one way.
 */
export function readsAsWords(text: string, least = 8): boolean {
  for (const [run] of text.matchAll(RUN)) {
    if (run.length < least) continue;
    let up = false;
    let down = false;
    for (let i = 1; i < run.length; i += 1) {
      const step = run.charCodeAt(i) - run.charCodeAt(i - 1);
      up ||= step > 0;
      down ||= step < 0;
    }
    if (up && down) return true;
  }
  return false;
}
