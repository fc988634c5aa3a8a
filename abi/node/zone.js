// SPDX-License-Identifier: MIT
// The zone by which days are counted: agents.defaults.userTimezone, else the host's.

/** An IANA name that this host knows. */
export function timezoneOf(cfg) {
  const wanted = cfg?.agents?.defaults?.userTimezone?.trim();
  if (wanted) {
    try {
      return new Intl.DateTimeFormat("en", { timeZone: wanted }).resolvedOptions().timeZone;
    } catch {
      /* The gateway, too, goes on with the host's. */
    }
  }
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

/** "YYYY-MM-DD" of that moment there. */
export function dateIn(timeZone, at = Date.now()) {
  const parts = new Intl.DateTimeFormat("en", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" })
    .formatToParts(at);
  const part = (type) => parts.find((p) => p.type === type).value;
  return `${part("year").padStart(4, "0")}-${part("month")}-${part("day")}`;
}
