// SPDX-License-Identifier: MIT
// Telephone numbers as lists hold them. Exact E.164 or nothing: a suffix, a national form or an empty
// number never matches anybody.

const PREFIX = /^(?:voice|tel):/i;
const SEPARATORS = /[\s().\u2010-\u2015-]/g;
/** "+49 (0) 30 ...": a digit that is dialled inside the country alone. */
const TRUNK = /\(\s*0\s*\)/;
const E164 = /^\+[1-9][0-9]{6,14}$/;

/** "+15551234567" for an entry that is a number, "*" for everybody, null for anything else. */
export function normalizeEntry(entry) {
  const text = String(entry ?? "").trim().replace(PREFIX, "").trim();
  if (text === "*") return "*";
  const number = text.replace(SEPARATORS, "");
  return E164.test(number) ? number : null;
}

/** What a person may have meant as a number, rather than as a name: digits and what stands between them. */
export const looksLikeNumber = (text) => /^[+(]?[0-9][0-9\s().\/\u2010-\u2015-]{1,}$/.test(String(text ?? "").trim());

/**
 * The E.164 number to call for what a person wrote. National forms are understood by a country ("DE"), where one is
 * configured; the plugin itself takes E.164 alone, and decides whether the number may be called. The numbering
 * plans are loaded with the first number that needs them. Throws a sentence.
 */
export async function dialable(text, country) {
  const strict = normalizeNumber(text);
  if (strict && !TRUNK.test(text)) return strict;
  const shown = JSON.stringify(String(text ?? "").slice(0, 60));
  const international = String(text ?? "").trim().replace(PREFIX, "").startsWith("+");
  if (!country && !international) {
    throw new Error(`${shown} is no number in international form, such as +15551234567. For national numbers set `
      + "channels.voice.outbound.default_country, such as DE");
  }
  const { default: plans } = await import("./libphonenumber-min.cjs"); /* put beside this file by scripts/stage.sh */
  const number = plans.parsePhoneNumberFromString(String(text).slice(0, 100), { defaultCountry: country || undefined, extract: false });
  if (!number?.isPossible() || !E164.test(number.number)) {
    throw new Error(`${shown} is no telephone number${international ? "" : ` in ${country}, nor one in international form`}`);
  }
  if (number.ext) throw new Error(`${shown}: leave the extension out, and press it as digits when the call is answered`);
  return number.number;
}

/** As normalizeEntry, but for what must be one number. */
export function normalizeNumber(entry) {
  const number = normalizeEntry(entry);
  return number === "*" ? null : number;
}
