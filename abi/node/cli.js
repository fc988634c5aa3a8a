// SPDX-License-Identifier: MIT
// `openclaw voice ...`: asks the running gateway. Each group of commands has a file of its own.
import { registerCalling, registerRecording } from "./cli-call.js";
import { registerChecking } from "./cli-check.js";
import { registerReading } from "./cli-read.js";

const GROUPS = [registerReading, registerCalling, registerRecording, registerChecking];
const DESCRIPTION = "Phone calls: place them, steer them, list them, read a transcript, see why a call ended";

/** Adds commands below `parent`, each with the options that say how the gateway is reached. */
const adder = (parent) => (name, text) => parent.command(name).description(text)
  .option("--json", "print the answer as JSON", false)
  .option("--url <url>", "WebSocket URL of the gateway")
  .option("--token <token>", "token of the gateway")
  .option("--timeout <ms>", "how long to wait", "15000");

export function registerCommands({ program, config }) {
  const voice = program.command("voice").description(DESCRIPTION);
  const group = (name, text) => adder(voice.command(name).description(text));
  for (const register of GROUPS) register(adder(voice), group, config);
}

export const descriptors = [{ name: "voice", description: DESCRIPTION, hasSubcommands: true }];
