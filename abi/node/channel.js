// SPDX-License-Identifier: MIT
// The channel as the gateway sees it.
import { createScopedDmSecurityResolver } from "openclaw/plugin-sdk/channel-config-helpers";
import { createChannelPluginBase, createChatChannelPlugin } from "openclaw/plugin-sdk/channel-core";
import { normalizeEntry, normalizeNumber } from "./numbers.js";
import { pairing } from "./pairing.js";
import { ACCOUNT, accountOf, CHANNEL, sectionOf } from "./section.js";

const dmPolicy = createScopedDmSecurityResolver({
  channelKey: CHANNEL,
  resolvePolicy: (account) => account.dmPolicy,
  resolveAllowFrom: (account) => account.allowFrom,
  normalizeEntry: (entry) => normalizeEntry(entry) ?? "",
});

const NO_TEXT = "voice: a phone line takes no text messages. Send it on another channel of this person.";

const base = createChannelPluginBase({
  id: CHANNEL,
  meta: {
    label: "Voice",
    selectionLabel: "Voice (telephone)",
    docsPath: "/channels/voice",
    blurb: "phone calls answered by your agent, over OpenAI Realtime and SIP.",
  },
  capabilities: { chatTypes: ["direct"] },
  reload: {
    configPrefixes: [`channels.${CHANNEL}`],
    /* Who may call is passed on while calls go on; see policy.js. */
    noopPrefixes: [`channels.${CHANNEL}.dmPolicy`, `channels.${CHANNEL}.allowFrom`],
  },
  config: {
    listAccountIds: (cfg) => (sectionOf(cfg) ? [ACCOUNT] : []),
    defaultAccountId: () => ACCOUNT,
    resolveAccount: accountOf,
    inspectAccount: accountOf,
    isConfigured: (account) => account.configured,
    isEnabled: (account) => account.enabled,
    unconfiguredReason: () => "write channels.voice: { enabled: true, configFile: \"...\" }",
    disabledReason: () => "channels.voice.enabled is not true",
    resolveAllowFrom: ({ cfg }) => accountOf(cfg).allowFrom,
    formatAllowFrom: ({ allowFrom }) => allowFrom.map(normalizeEntry).filter(Boolean),
    describeAccount: (account) => ({
      accountId: account.accountId, enabled: account.enabled, configured: account.configured,
      dmPolicy: account.dmPolicy, allowFrom: account.allowFrom.map(String),
    }),
  },
  setup: {
    applyAccountConfig: ({ cfg }) => ({
      ...cfg, channels: { ...cfg.channels, [CHANNEL]: { ...sectionOf(cfg), enabled: true } },
    }),
  },
});

export const plugin = createChatChannelPlugin({
  base: {
    ...base,
    /* Most copies of this package never run it. */
    gateway: { startAccount: async (ctx) => (await import("./account.js")).startAccount(ctx) },
    pairing,
    status: {
      defaultRuntime: { accountId: ACCOUNT, running: false, lastStartAt: null, lastStopAt: null, lastError: null },
      buildAccountSnapshot: ({ account, runtime }) => ({
        accountId: account.accountId, enabled: account.enabled, configured: account.configured,
        dmPolicy: account.dmPolicy, allowFrom: account.allowFrom.map(String),
        running: runtime?.running ?? false, connected: runtime?.connected ?? false,
        port: runtime?.port, baseUrl: runtime?.baseUrl, lastStartAt: runtime?.lastStartAt ?? null,
        lastStopAt: runtime?.lastStopAt ?? null, lastError: runtime?.lastError ?? null,
        lastInboundAt: runtime?.lastInboundAt ?? null,
      }),
    },
    messaging: {
      normalizeTarget: (target) => normalizeNumber(target) ?? undefined,
      targetResolver: { looksLikeId: (target) => normalizeNumber(target) !== null, hint: "<+E.164>" },
    },
  },
  security: {
    /* Without dmPolicy the plugin's own security.voice.unknown_caller_policy decides. */
    resolveDmPolicy: (context) => (context.account.dmPolicy ? dmPolicy(context) : null),
  },
  outbound: {
    base: { deliveryMode: "direct" },
    attachedResults: {
      channel: CHANNEL,
      sendText: async () => {
        throw new Error(NO_TEXT);
      },
    },
  },
});
