// SPDX-License-Identifier: MIT
// `openclaw voice ...`: asks the running gateway. Each group of commands has a file of its own.
import { registerReading } from "./cli-read.js";

const GROUPS = [registerReading];
const DESCRIPTION = "Phone calls: list them, read a transcript, see why a call ended";

export function registerCommands({ program }) {
  const voice = program.command("voice").description(DESCRIPTION);
  const add = (name, text) => voice.command(name).description(text)
    .option("--json", "print the answer as JSON", false)
    .option("--url <url>", "WebSocket URL of the gateway")
    .option("--token <token>", "token of the gateway")
    .option("--timeout <ms>", "how long to wait", "15000");
  for (const register of GROUPS) register(add);
}

export const descriptors = [{ name: "voice", description: DESCRIPTION, hasSubcommands: true }];
