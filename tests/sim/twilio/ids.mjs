/* SPDX-License-Identifier: MIT */
// Identifiers, dates and numbers in the carrier's forms.
import { randomBytes } from 'node:crypto';

/** A fresh identifier: CA, CF, RE, PN … and 32 hexadecimal digits. */
export const newSid = (prefix) => prefix + randomBytes(16).toString('hex');

export const isCallSid = (text) => /^CA[0-9a-f]{32}$/.test(text);

/** E.164: a plus sign and up to fifteen digits. */
export const isE164 = (text) => /^\+[1-9]\d{1,14}$/.test(text);

/** A date (ms since 1970, or null) as the API writes it. */
export const rfc2822 = (ms) => (ms === null ? null
  : new Date(ms).toUTCString().replace('GMT', '+0000'));

/** The parts of a SIP URI: {user, host, params, headers}, or null. */
export function parseSip(uri) {
  const m = /^sips?:(?:([^@;?]+)@)?([^;?:]+)(?::\d+)?((?:;[^?]*)?)(?:\?(.*))?$/.exec(uri);
  if (!m)
    return null;
  const params = Object.fromEntries(m[3].split(';').filter(Boolean).map((p) => {
    const [name, value = ''] = p.split('=');
    return [name.toLowerCase(), value];
  }));
  const headers = (m[4] ?? '').split('&').filter(Boolean).map((h) => {
    const at = h.indexOf('=');
    return { name: at < 0 ? h : h.slice(0, at), value: at < 0 ? '' : decodeURIComponent(h.slice(at + 1)) };
  });
  return { user: m[1] ?? null, host: m[2].toLowerCase(), params, headers, query: m[4] ?? '' };
}
