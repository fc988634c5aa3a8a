// SPDX-License-Identifier: MIT
// Pairing: an unknown caller is given a code that the owner approves with
// `openclaw pairing approve voice CODE`.
import { OC, RequestError } from "./native.js";
import { normalizeNumber } from "./numbers.js";
import { ACCOUNT, CHANNEL } from "./section.js";
import { state } from "./state.js";

/** The channel's adapter: how the gateway stores an approval, and what happens after it. */
export const pairing = {
  idLabel: "phoneNumber",
  normalizeAllowEntry: (entry) => normalizeNumber(entry) ?? "",
  notifyApproval: async ({ runtime, id }) => {
    await state.account?.policyChanged();
    runtime?.log?.(`${id} may call now. A phone call cannot be told by text.`);
  },
};

/** pairing.request: the code that is pending for this number, made if there is none. */
export async function requestPairing(runtime, { number }) {
  const id = normalizeNumber(number);
  if (!id) throw new RequestError(OC.EINVAL, "not a number in E.164");
  const { createChannelPairingChallengeIssuer } = await import("openclaw/plugin-sdk/channel-pairing");
  let answer = { code: "", created: false };
  const issue = createChannelPairingChallengeIssuer({
    channel: CHANNEL, accountId: ACCOUNT,
    upsertPairingRequest: async (request) => {
      answer = await runtime.channel.pairing.upsertPairingRequest({
        ...request, channel: CHANNEL, accountId: ACCOUNT, pairingAdapter: pairing,
      });
      return answer;
    },
  });
  /* The caller hears the code; there is nothing to send. */
  await issue({ senderId: id, senderIdLine: `Your phone number: ${id}`, sendPairingReply: async () => {} });
  if (!answer.code) throw new RequestError(OC.EBUSY, "too many pairing requests are pending");
  return { code: answer.code, created: answer.created };
}
