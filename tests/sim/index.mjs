/* SPDX-License-Identifier: MIT */
// All simulators.
export { startOpenAI } from './openai.mjs';
export { defaultBrain, spokenInstructions, spokenOutput, wantsAgent } from './brain.mjs';
export { signWebhook, incomingEvent, sipHeaders } from './webhook.mjs';
export { schemaDir, openaiSchemas } from './schema.mjs';
export { startModel, startGatewayEndpoint } from './model.mjs';
export { personsWords, messageText } from './chat.mjs';
export { startTelegram } from './telegram.mjs';
