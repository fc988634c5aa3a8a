// SPDX-License-Identifier: MIT
// The shared objects, loaded when they are first needed: this package is also imported where nothing
// may start (help, discovery, status).
import os from "node:os";
import { fileURLToPath } from "node:url";

const beside = (name) => fileURLToPath(new URL(`./${name}`, import.meta.url));

let library = null;

/** The plugin: { name, version, abi, caps, create() }, see binding.c. */
export function nativeLibrary() {
  if (library) return library;
  const addon = { exports: {} };
  process.dlopen(addon, beside("openclaw_voice_node.node"), os.constants.dlopen.RTLD_NOW);
  library = addon.exports.load(beside("openclaw_voice.so"));
  return library;
}

/** Result codes of abi/openclaw_plugin.h. */
export const OC = {
  OK: 0, EFAIL: -1, EINVAL: -2, ECONFIG: -3, ENOMEM: -4, ESTATE: -5, ENOTSUP: -6, ENOENT: -7,
  EBUSY: -8, ECANCELED: -9, ETIMEDOUT: -10, EIO: -11,
};

export const LOG_LEVELS = ["error", "warn", "info", "debug"];

/** What becomes of live calls when the instance stops. */
export const STOP_LEAVE_CALLS = 0;

/** An error whose code reaches the plugin as the result of its request. */
export class RequestError extends Error {
  constructor(rc, message) {
    super(message);
    this.rc = rc;
  }
}
