import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTime, shiftDate, shiftDateTime } from '../../../nodes/engine/deid/dates';

test('a date goes back by whole days over months, leap days and centuries', () => {
  assert.equal(shiftDate('20240301', 1), '20240229');
  assert.equal(shiftDate('20230301', 1), '20230228');
  assert.equal(shiftDate('20000101', 1), '19991231');
  assert.equal(shiftDate('19000301', 1), '19000228');
  assert.equal(shiftDate('20240229', 366), '20230228');
  assert.equal(shiftDate('00500101', 1), '00491231');
});

test('intervals between dates stay the same to the day', () => {
  const day = (value: string | undefined): number => Date.UTC(Number(value?.slice(0, 4)), Number(value?.slice(4, 6)) - 1, Number(value?.slice(6, 8))) / 86_400_000;
  for (const days of [1, 59, 366, 3650]) assert.equal(day(shiftDate('20240307', days)) - day(shiftDate('20231105', days)), day('20240307') - day('20231105'));
});

test('partial dates, the old form, several values and ranges keep their form', () => {
  assert.equal(shiftDate('1993.08.22', 22), '1993.07.31');
  assert.equal(shiftDate('202403', 1), '202402');
  assert.equal(shiftDate('2024', 1), '2023');
  assert.equal(shiftDate('20240102\\20240105 ', 1), '20240101\\20240104');
  assert.equal(shiftDate('20240102-20240105', 1), '20240101-20240104');
  assert.equal(shiftDate('-20240105', 1), '-20240104');
  assert.equal(shiftDate('20240102-', 1), '20240101-');
  assert.equal(shiftDate('', 1), '');
});

test('what is no date is not guessed at', () => {
  for (const value of ['20240230', '20241301', 'unknown', '2024010', '00010101', '20240101\\Jane']) assert.equal(shiftDate(value, 366), undefined, value);
});

test('a date time moves its date and keeps time, fraction and offset', () => {
  assert.equal(shiftDateTime('20240301235959.123456+0900', 1), '20240229235959.123456+0900');
  assert.equal(shiftDateTime('20240301-0500', 1), '20240229-0500');
  assert.equal(shiftDateTime('2024030112', 1), '2024022912');
  assert.equal(shiftDateTime('202403', 31), '202401');
  assert.equal(shiftDateTime('2024+0000', 1), '2023+0000');
  assert.equal(shiftDateTime('20240302-20240303', 1), '20240301-20240302');
  assert.equal(shiftDateTime('20240302120000-0500-20240303120000-0500', 1), '20240301120000-0500-20240302120000-0500');
});

test('what is no date time is not guessed at', () => {
  for (const value of ['20240301996060', '20240301120000.', 'Jane', '20240230120000', '20243', '20240301120000+9900']) assert.equal(shiftDateTime(value, 1), undefined, value);
});

test('times are times and nothing else', () => {
  for (const value of ['12', '1259', '235960', '101112.1', '10:11:12.1', '10-11', '101112\\131415', '101112 ', '']) assert.equal(isTime(value), true, value);
  for (const value of ['Jane', '25', '1260', '1', '101112.1234567']) assert.equal(isTime(value), false, value);
});
