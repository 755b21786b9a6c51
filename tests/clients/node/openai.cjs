// The official `openai` package on Node: openai.cjs SCENARIO [COUNT].
"use strict";
const { OpenAI } = require("openai");

const model = "gpt-demo";
const client = new OpenAI();
const tools = [{
  type: "function",
  function: {
    name: "weather",
    description: "The weather of a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
}];

async function chat(prompt, more = {}) {
  const messages = [{ role: "user", content: prompt }];
  const completion = await client.chat.completions.create({ model, messages, ...more });
  return call(completion, prompt, false);
}

async function stream(prompt, more = {}) {
  const messages = [{ role: "user", content: prompt }];
  const options = { stream_options: { include_usage: true }, ...more };
  const runner = client.chat.completions.stream({ model, messages, ...options });
  return call(await runner.finalChatCompletion(), prompt, true);
}

function call(completion, prompt, streamed) {
  const { message, finish_reason } = completion.choices[0];
  return {
    endpoint: "POST /v1/chat/completions", model, prompt, streamed, id: completion.id,
    text: message.content, finish_reason, usage: completion.usage,
    tool_calls: (message.tool_calls || []).map((one) => ({
      id: one.id, name: one.function.name, arguments: JSON.parse(one.function.arguments),
    })),
  };
}

async function responses(prompt) {
  const answer = await client.responses.create({ model, input: prompt });
  return {
    endpoint: "POST /v1/responses", model, prompt, streamed: false, id: answer.id,
    text: answer.output_text, usage: answer.usage,
  };
}

async function keepAlive() {
  const calls = [];
  for (let number = 0; number < 3; number++) calls.push(await chat(`Say hello, time ${number}.`));
  return calls;
}

function parallel(count) {
  const one = (number) => (number % 2 ? chat : stream)(
    `call ${number} [demo answer_bytes=${100 + number} delay_ms=5]`);
  return Promise.all(Array.from({ length: count }, (_, number) => one(number)));
}

const scenarios = {
  chat: async () => [await chat("Say hello.")],
  stream: async () => [await stream("Say hello. [demo chunks=20]")],
  gzip: async () => [await stream("Say hello. [demo encoding=gzip]")],
  tools: async () => [await chat("The weather? [demo tool_calls=2]", { tools })],
  "tools-stream": async () => [await stream("The weather? [demo tool_calls=2]", { tools })],
  responses: async () => [await responses("Say hello.")],
  "keep-alive": keepAlive,
  parallel: () => parallel(Number(process.argv[3] || 200)),
};

scenarios[process.argv[2]]().then((calls) => {
  console.log(JSON.stringify({ client: "node-openai", pid: process.pid, calls }));
});
