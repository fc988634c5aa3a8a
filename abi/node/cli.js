// SPDX-License-Identifier: MIT
// `openclaw voice ...`: asks the running gateway. Each group of commands has a file of its own.
import { registerCalling, registerRecording } from "./cli-call.js";
import { registerChecking } from "./cli-check.js";
import { registerReading } from "./cli-read.js";

const GROUPS = [registerReading, registerCalling, registerRecording, registerChecking];

/** Adds commands below `parent`, each with the options that say how the gateway is reached. */
const adder = (parent) => (name, text) => parent.command(name).description(text)
  .option("--json", "print the answer as JSON", false)
  .option("--url <url>", "WebSocket URL of the gateway")
  .option("--token <token>", "token of the gateway")
  .option("--timeout <ms>", "how long to wait", "15000");

export function registerCommands({ program, config }, { name: own, description }) {
  const voice = program.command(own).description(description);
  const group = (name, text) => adder(voice.command(name).description(text));
  for (const register of GROUPS) register(adder(voice), group, config);
}
