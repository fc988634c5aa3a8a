/* SPDX-License-Identifier: MIT */
/*
 * What the simulated model says and does. A brain is a function of a context; it returns a plan, or
 * nothing to leave the decision to the default brain (or a promise of either):
 *
 *   { items: [{ say: 'text' } | { call: 'tool', args: object | 'raw text', id? }],
 *     status?: 'completed' | 'cancelled' | 'failed' | 'incomplete', reason?, emptyOutput?: true }
 *
 * The context: call, session, tools (names), trigger ('speech' | 'client' | 'idle'), callerText (of
 * the turn that is answered, or null), instructions (of this response alone, or null), outputs
 * (function_call_output items that no response has seen), fresh (message items that the client
 * added since), first (no response and no caller turn yet), params (of response.create).
 */
import { itemText } from './conversation.mjs';

const clip = (text, max = 600) => (text.length > max ? `${text.slice(0, max - 1)}…` : text);

/** What a listener would hear of a tool's output: its text, also out of a JSON object. */
export function spokenOutput(output) {
  let value = output;
  try {
    value = JSON.parse(output);
  } catch {
    return clip(output);
  }
  if (value === null || typeof value !== 'object')
    return clip(String(value));
  const keys = ['text', 'answer', 'result', 'output', 'message', 'error', 'note'];
  const texts = keys.map((k) => value[k]).filter((v) => typeof v === 'string' && v !== '');
  return clip(texts.length ? texts.join(' ') : output);
}

/** What instructions make the model say: the text they quote, else their beginning. */
export function spokenInstructions(instructions) {
  const quoted = /["“]([^"”]{3,})["”]/.exec(instructions);
  return quoted ? clip(quoted[1]) : clip(`As told: ${instructions.replace(/\s+/g, ' ')}`, 240);
}

/** True for words that the default brain takes to the agent. */
export const wantsAgent = (text) => text.includes('?') || /^\s*ask\b/i.test(text);

function answerCaller(ctx) {
  const text = ctx.callerText;
  if (/\bgood-?\s?bye\b/i.test(text)) {
    const items = [{ say: 'Goodbye, and thank you for calling.' }];
    return { items: ctx.tools.includes('end_call') ? [...items, { call: 'end_call', args: {} }]
      : items };
  }
  if (wantsAgent(text) && ctx.tools.includes('ask_openclaw')) {
    return { items: [{ say: 'Let me check that.' },
      { call: 'ask_openclaw', args: { request: text } }] };
  }
  return { items: [{ say: `You said: ${text}` }] };
}

/** The default brain. */
export function defaultBrain(ctx) {
  const outputs = ctx.outputs.map((item) => spokenOutput(item.output));
  if (ctx.instructions)
    return { items: [{ say: [spokenInstructions(ctx.instructions), ...outputs].join(' ') }] };
  if (ctx.trigger === 'speech' && ctx.callerText !== null)
    return answerCaller(ctx);
  if (outputs.length)
    return { items: [{ say: outputs.join(' ') }] };
  if (ctx.first)
    return { items: [{ say: 'Hello, this is your assistant. How can I help you?' }] };
  const fresh = ctx.fresh.map((item) => itemText(item)).filter(Boolean);
  if (fresh.length)
    return { items: [{ say: clip(fresh.join(' ')) }] };
  if (ctx.trigger === 'idle')
    return { items: [{ say: 'Are you still there?' }] };
  return ctx.callerText !== null ? answerCaller(ctx)
    : { items: [{ say: 'How can I help you?' }] };
}

/** The plan of a turn: the test's brain first, then the default one. */
export async function think(brain, ctx) {
  const plan = brain ? await brain(ctx) : null;
  return plan ?? defaultBrain(ctx);
}
