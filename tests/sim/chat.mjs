/* SPDX-License-Identifier: MIT */
/*
 * OpenAI-compatible chat completions, as a provider of models and the gateway's own endpoint both
 * serve them. What is answered follows from the person's words by rules:
 *
 *   { match: RegExp | 'part of the words' | (words, entry) => boolean,
 *     reply: 'text' | (context) => 'text',     context: { words, match, toolResult, entry }
 *     delayMs (before the first chunk), chunks (how many, or the texts), chunkMs (between chunks),
 *     tool: { name, args },                    asked for first; reply then tells its result
 *     status, body (an HTTP error), stallAfter (chunks, then silence), cutAfter (chunks, then reset),
 *     times (how often the rule holds) }
 *
 * The first rule that matches counts; without one the answer is `The answer to "<words>" is
 * forty-two.`
 */
import { performance } from 'node:perf_hooks';
import { resetSocket, sendJson, sleep } from './server.mjs';
import { newId } from './ids.mjs';

const INTERNAL = '<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>';

/** Text of a chat message. */
export function messageText(message) {
  const { content } = message ?? {};
  if (typeof content === 'string')
    return content;
  return (content ?? []).map((part) => part.text ?? '').join(' ');
}

/** What the person said, out of the dress in which the agent's harness sends it. */
export function personsWords(messages) {
  const said = messages.filter((m) => m.role === 'user' && !messageText(m).startsWith(INTERNAL));
  return messageText(said.at(-1)).replace(/\n\nRuntime: [\s\S]*$/, '')
    .replace(/[\s\S]*```\n\n/, '').replace(/^\[[^\]]*UTC\] /, '').trim();
}

/* The result of a tool that was called for the last words, or null. */
function toolResult(messages) {
  const last = messages.findLastIndex((m) => m.role === 'user'
    && !messageText(m).startsWith(INTERNAL));
  const results = messages.slice(last + 1).filter((m) => m.role === 'tool');
  return results.length ? messageText(results.at(-1)) : null;
}

function findRule(rules, words, entry) {
  for (const rule of rules) {
    rule.left ??= rule.times ?? Infinity;
    const match = rule.match instanceof RegExp ? rule.match.exec(words)
      : typeof rule.match === 'function' ? rule.match(words, entry)
        : rule.match === undefined || words.includes(rule.match);
    if (match && rule.left > 0) {
      rule.left -= 1;
      return { rule, match };
    }
  }
  return { rule: {}, match: null };
}

function replyText(rule, context) {
  if (typeof rule.reply === 'function')
    return rule.reply(context);
  if (rule.reply !== undefined)
    return rule.reply;
  if (context.toolResult !== null)
    return `The tool said: ${context.toolResult.slice(0, 400)}`;
  return `The answer to "${context.words}" is forty-two.`;
}

/* With many tools a harness shows a few of its own only, and plugin tools are called through one. */
function toolCall(tool, offered) {
  const known = offered.some((t) => t.function?.name === tool.name);
  const args = JSON.stringify(tool.args ?? {});
  return { id: newId('call'), type: 'function', function: known ? { name: tool.name, arguments: args }
    : { name: 'tool_call', arguments: JSON.stringify({ id: tool.name, args: tool.args ?? {} }) } };
}

function split(text, chunks) {
  if (Array.isArray(chunks))
    return chunks;
  const size = Math.max(1, Math.ceil(text.length / (chunks ?? Math.ceil(text.length / 24))));
  return text.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? [];
}

async function stream(res, entry, id, rule, text, calls) {
  const send = (choices, extra = {}) => res.write(`data: ${JSON.stringify({ id,
    object: 'chat.completion.chunk', created: 1, model: entry.body.model, choices, ...extra })}\n\n`);
  res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  send([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }]);
  for (const [n, content] of (calls ? [] : split(text, rule.chunks)).entries()) {
    if (n === rule.cutAfter) {
      resetSocket(res.socket);
      return;
    }
    if (n === rule.stallAfter || entry.aborted)
      return;
    if (n > 0)
      await sleep(rule.chunkMs ?? 5);
    send([{ index: 0, delta: { content }, finish_reason: null }]);
    entry.chunksSent = n + 1;
  }
  if (calls) {
    send([{ index: 0, delta: { tool_calls: calls.map((call, index) => ({ index, ...call })) },
      finish_reason: null }]);
  }
  send([{ index: 0, delta: {}, finish_reason: calls ? 'tool_calls' : 'stop' }]);
  send([], { usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 } });
  res.end('data: [DONE]\n\n');
  entry.finishedAt = Date.now();
}

/** A log entry of a request; the body is filled in later. */
export function logEntry(req) {
  return { t: Date.now(), hr: performance.now(), method: req.method, path: req.url,
    headers: req.headers, socket: req.socket.simNumber, body: null, words: '', aborted: false,
    chunksSent: 0, finishedAt: null };
}

/** Answers one chat completion. */
export async function answerChat(rules, res, entry) {
  const { body } = entry;
  const messages = body.messages ?? [];
  entry.words = personsWords(messages);
  res.on('close', () => { entry.aborted = !res.writableFinished; });
  const { rule, match } = findRule(rules, entry.words, entry);
  if (rule.delayMs)
    await sleep(rule.delayMs);
  if (entry.aborted)
    return;
  if (rule.status) {
    sendJson(res, rule.status, rule.body ?? { error: { message: 'Simulated fault',
      type: 'server_error' } });
    return;
  }
  const result = toolResult(messages);
  const calls = rule.tool && result === null ? [toolCall(rule.tool, body.tools ?? [])] : null;
  const text = calls ? '' : replyText(rule, { words: entry.words, match, toolResult: result, entry });
  entry.answer = text;
  const id = newId('chatcmpl');
  if (body.stream) {
    await stream(res, entry, id, rule, text, calls);
    return;
  }
  const message = { role: 'assistant', content: text, ...(calls ? { tool_calls: calls } : {}) };
  sendJson(res, 200, { id, object: 'chat.completion', created: 1, model: body.model,
    choices: [{ index: 0, finish_reason: calls ? 'tool_calls' : 'stop', message }],
    usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 } });
  entry.finishedAt = Date.now();
}
