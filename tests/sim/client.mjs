/* SPDX-License-Identifier: MIT */
// What the service does with each event that arrives over a sideband.
import { newId } from './ids.mjs';

const fail = (message, code = null, param = null, type = 'invalid_request_error') =>
  ({ type, code, message, param });

/** Merges b into a copy of a; objects merge, everything else is replaced. */
export function merge(a, b) {
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object'
      || Array.isArray(a) || Array.isArray(b))
    return structuredClone(b);
  const out = { ...a };
  for (const [key, value] of Object.entries(b))
    out[key] = key in a ? merge(a[key], value) : structuredClone(value);
  return out;
}

function itemFault(call, item) {
  if (item.id !== undefined && call.conversation.has(item.id))
    return fail(`Item with id '${item.id}' already exists.`, 'item_already_exists', 'item.id');
  if (item.type === 'function_call_output' && !call.toolCalls.has(item.call_id)) {
    return fail(`Tool call ID '${item.call_id}' not found in conversation.`,
      'invalid_tool_call_id', 'item.call_id');
  }
  return null;
}

function createItem(call, event) {
  const fault = itemFault(call, event.item);
  if (fault)
    return fault;
  const item = { id: newId('item'), object: 'realtime.item', status: 'completed',
    ...structuredClone(event.item) };
  if (!call.conversation.insert(item, event.previous_item_id)) {
    return fail(`Item '${event.previous_item_id}' not found.`, 'item_create_invalid_previous',
      'previous_item_id');
  }
  const added = { previous_item_id: call.conversation.previous(item.id), item };
  call.emitServer('conversation.item.added', structuredClone(added));
  call.emitServer('conversation.item.done', structuredClone(added));
  call.itemCreated(item);
  return null;
}

function retrieveItem(call, event) {
  const item = call.conversation.get(event.item_id);
  if (!item)
    return fail(`Item '${event.item_id}' not found.`, 'item_retrieve_invalid_item_id', 'item_id');
  call.emitServer('conversation.item.retrieved', { item: structuredClone(item) });
  return null;
}

function deleteItem(call, event) {
  if (!call.conversation.remove(event.item_id))
    return fail(`Item '${event.item_id}' not found.`, 'item_delete_invalid_item_id', 'item_id');
  call.emitServer('conversation.item.deleted', { item_id: event.item_id });
  return null;
}

function truncateItem(call, event) {
  const item = call.conversation.get(event.item_id);
  if (!item || item.role !== 'assistant') {
    return fail(`Item '${event.item_id}' is no assistant message.`,
      'item_truncate_invalid_item_id', 'item_id');
  }
  call.emitServer('conversation.item.truncated', { item_id: event.item_id,
    content_index: event.content_index, audio_end_ms: event.audio_end_ms });
  return null;
}

function updateSession(call, event) {
  const { session } = event;
  if (session.type === undefined)
    return fail("Missing required parameter: 'session.type'.", 'missing_required_parameter',
      'session.type');
  if (session.model !== undefined && session.model !== call.session.model)
    return fail('The model of a session cannot be changed.', 'session_cannot_update_model',
      'session.model');
  const voice = session.audio?.output?.voice;
  if (voice !== undefined && call.hasSpoken && voice !== call.session.audio.output.voice)
    return fail('The voice cannot be changed once there was audio.', 'cannot_update_voice',
      'session.audio.output.voice');
  call.session = merge(call.session, session);
  call.emitServer('session.updated', { session: structuredClone(call.session) });
  return null;
}

function createResponse(call, event) {
  const params = event.response ?? {};
  if (params.conversation !== 'none' && call.responseExpected) {
    call.activeResponseErrors += 1;
    const id = call.response?.id;
    return fail('Conversation already has an active response in progress'
      + `${id ? `: ${id}` : ''}. Wait until the response is finished before creating a new one.`,
    'conversation_already_has_active_response');
  }
  call.respond({ trigger: 'client', params });
  return null;
}

function cancelResponse(call, event) {
  const { response } = call;
  if (!response || (event.response_id !== undefined && event.response_id !== response.id))
    return fail('Cancellation failed: no active response found.', 'response_cancel_not_active');
  response.cancel('client_cancelled');
  return null;
}

function clearOutput(call) {
  call.cutPlayback();
  return null;
}

function appendAudio(call) {
  call.sim.violation(call, 'input_audio_buffer.append on a SIP call');
  return fail('Audio cannot be appended to a SIP session.', 'invalid_event');
}

function commitAudio() {
  return fail('Error committing input audio buffer: buffer too small.',
    'input_audio_buffer_commit_empty');
}

function clearAudio(call) {
  call.emitServer('input_audio_buffer.cleared', {});
  return null;
}

const handlers = {
  'conversation.item.create': createItem,
  'conversation.item.retrieve': retrieveItem,
  'conversation.item.delete': deleteItem,
  'conversation.item.truncate': truncateItem,
  'session.update': updateSession,
  'response.create': createResponse,
  'response.cancel': cancelResponse,
  'output_audio_buffer.clear': clearOutput,
  'input_audio_buffer.append': appendAudio,
  'input_audio_buffer.commit': commitAudio,
  'input_audio_buffer.clear': clearAudio,
};

/** True for a type of event that the service knows. */
export const isClientEvent = (type) => Object.hasOwn(handlers, type);

/** Carries out a valid event; the error to answer with, or null. */
export function handleClientEvent(call, event) {
  return handlers[event.type](call, event);
}
