// SPDX-License-Identifier: MIT
// Telephone numbers as lists hold them. Exact E.164 or nothing: a suffix, a national form or an empty
// number never matches anybody.

const PREFIX = /^(?:voice|tel):/i;
const SEPARATORS = /[\s().\u2010-\u2015-]/g;
const E164 = /^\+[1-9][0-9]{6,14}$/;

/** "+15551234567" for an entry that is a number, "*" for everybody, null for anything else. */
export function normalizeEntry(entry) {
  const text = String(entry ?? "").trim().replace(PREFIX, "").trim();
  if (text === "*") return "*";
  const number = text.replace(SEPARATORS, "");
  return E164.test(number) ? number : null;
}

/** As normalizeEntry, but for what must be one number. */
export function normalizeNumber(entry) {
  const number = normalizeEntry(entry);
  return number === "*" ? null : number;
}
