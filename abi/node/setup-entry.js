// SPDX-License-Identifier: MIT
// Entry for status and setup, where the channel is not to run.
import { defineSetupPluginEntry } from "openclaw/plugin-sdk/channel-core";
import { plugin } from "./channel.js";

export default defineSetupPluginEntry(plugin);
