// SPDX-License-Identifier: MIT
// t-limit: 480
// A handoff to Discord through the gateway's own Discord channel, up to the HTTP request that would leave the
// machine: the proxy that the channel is configured with answers in Discord's name. Nothing is shown of
// what Discord itself makes of it, nor of messages that come in.
//
// The gateway trusts its Discord plugin only when it installed it itself by its name in the registry. scripts/setup.sh
// has done so once and kept what npm fetched, from which it is installed here without the network.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { makeCerts } from "../lib/certs.mjs";
import { gatewayNode, openclawCommand, pluginDir, startGateway } from "../lib/gateway.mjs";
import { buildDir, projectDir, tmpdir, waitFor } from "../lib/util.mjs";
import { startModel } from "../sim/index.mjs";
import { startDiscord } from "../sim/discord.mjs";

const cache = path.join(projectDir, "build/tools/discord");
const spec = fs.existsSync(path.join(cache, "spec")) && fs.readFileSync(path.join(cache, "spec"), "utf8").trim();
const missing = !spec ? "scripts/setup.sh could not fetch the gateway's Discord plugin"
  : process.env.OCV_PRELOAD ? "none of the plugin's C is in it" : false;

/* As its owner does it, before the gateway runs. */
function install(home) {
  const env = { ...process.env, HOME: home, OPENCLAW_STATE_DIR: path.join(home, ".openclaw"), CI: "1",
    npm_config_cache: cache, npm_config_offline: "true" };
  return spawnSync(gatewayNode, [openclawCommand(), "plugins", "install", spec, "--force", "--accept-capabilities"],
    { env: { ...env, PATH: `${path.dirname(gatewayNode)}:${env.PATH}` }, encoding: "utf8", timeout: 200000, cwd: home });
}

test("a handoff to Discord is a message of the shape Discord takes", { skip: missing }, async (t) => {
  const plugin = path.join(tmpdir("ocv-mock"), "openclaw-voice");
  fs.cpSync(pluginDir, plugin, { recursive: true });
  fs.rmSync(path.join(plugin, "openclaw_voice.so"));
  fs.copyFileSync(path.join(buildDir, "tests/conformance/so_mock_plugin.so"), path.join(plugin, "openclaw_voice.so"));
  const certs = makeCerts();
  const trusted = path.join(tmpdir("ocv-trust"), "ca.pem");
  const others = process.env.NODE_EXTRA_CA_CERTS ? fs.readFileSync(process.env.NODE_EXTRA_CA_CERTS) : "";
  fs.writeFileSync(trusted, `${others}\n${fs.readFileSync(certs.caFile)}`);
  const model = await startModel({});
  const discord = await startDiscord({ ...certs.discord, refuse: { "7556600000000000000": 50007 } });
  let gateway;
  t.after(async () => {
    await gateway?.stop();
    await discord.close();
    await model.close();
  });
  const home = tmpdir("ocv-discord");
  const installed = install(home);
  assert.equal(installed.status, 0, installed.stdout + installed.stderr);
  gateway = await startGateway({
    model, plugin, home, env: { NODE_EXTRA_CA_CERTS: trusted }, voice: { dmPolicy: "pairing" },
    config: {
      plugins: { allow: ["discord", "memory-core", "voice"], entries: { discord: { enabled: true } } },
      channels: { discord: { enabled: true, token: discord.botToken, proxy: discord.url, dmPolicy: "allowlist",
        allowFrom: ["555000000000000000"] } },
    },
  });
  await waitFor(() => discord.requests.length, { timeoutMs: 60000, what: "the channel to ask Discord something" });
  const send = async (more) => (await fetch(`${gateway.voiceUrl}/request/message.send`, {
    method: "POST",
    body: JSON.stringify({ channel: "discord", session_key: "agent:main:direct:alice", ...more }),
  })).json();

  const { code, reply } = await send({ id: "h1", to: "user:555000000000000000", text: "Summary of our call: **Friday**, 9:00. 📞" });
  assert.equal(code, 0, `${JSON.stringify(reply)}\n${gateway.output(60)}`);
  assert.equal(discord.messages.length, 1);
  const [message] = discord.messages;
  assert.equal(message.channelId, "7555000000000000000");
  assert.equal(message.body.content, "Summary of our call: **Friday**, 9:00. 📞");
  assert.equal(reply.message_id, "900000000000000001");
  const opened = discord.requests.find((r) => r.path.endsWith("/users/@me/channels"));
  assert.deepEqual(opened.body, { recipient_id: "555000000000000000" });

  const long = `${"All of this was said. ".repeat(150)}End.`;
  assert.equal((await send({ id: "h2", to: "user:555000000000000000", text: long })).code, 0);
  const parts = discord.messages.slice(1).map((m) => m.body.content);
  assert.ok(parts.length >= 2 && parts.every((part) => part.length <= 2000), `${parts.map((p) => p.length)}`);
  assert.equal(parts.join(" ").replace(/\s+/g, " "), long.replace(/\s+/g, " "));

  const refused = await send({ id: "h3", to: "user:556600000000000000", text: "You never wrote to me." });
  assert.equal(refused.code, -2, JSON.stringify(refused));
  const { sessions } = await gateway.rpc("sessions.list", {});
  const session = sessions.find((s) => s.key === "agent:main:direct:alice");
  assert.equal(session.lastChannel ?? session.deliveryContext?.channel, "discord", JSON.stringify(session));
});
