/* SPDX-License-Identifier: MIT */
// Identifiers that look like the service's own.
import { randomBytes } from 'node:crypto';

let serial = 0;

/**
 * A fresh identifier such as `item_AbC123…`.
 * @param {string} prefix without the underscore
 * @param {number} [bytes] of randomness
 */
export function newId(prefix, bytes = 12) {
  const text = randomBytes(bytes).toString('base64url').replace(/[-_]/g, 'x');
  serial = (serial + 1) % 0x7fffffff;
  return `${prefix}_${text}${serial.toString(36)}`;
}

/** A fresh call id as the SIP service gives it. */
export const newCallId = () => newId('rtc_u0', 16);
