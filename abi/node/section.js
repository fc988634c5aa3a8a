// SPDX-License-Identifier: MIT
// What the gateway's configuration says of this channel.
import os from "node:os";
import path from "node:path";

export const CHANNEL = "voice";
export const ACCOUNT = "default";

export const sectionOf = (cfg) => cfg?.channels?.[CHANNEL];

/** The whole account, without secrets: it is also what status and the security audit read. */
export function accountOf(cfg) {
  const section = sectionOf(cfg);
  return {
    accountId: ACCOUNT,
    enabled: section?.enabled === true,
    configured: Boolean(section),
    dmPolicy: section?.dmPolicy,
    allowFrom: section?.allowFrom ?? [],
    configFile: section?.configFile,
  };
}

/** configFile as an absolute path: relative ones are meant from the gateway's own config file. */
export function configFileOf(cfg, stateDir) {
  const file = sectionOf(cfg)?.configFile;
  if (!file) return undefined;
  const home = process.env.OPENCLAW_HOME ?? os.homedir();
  if (file === "~" || file.startsWith("~/")) return path.join(home, file.slice(1));
  return path.resolve(path.dirname(process.env.OPENCLAW_CONFIG_PATH ?? path.join(stateDir, "x")), file);
}
