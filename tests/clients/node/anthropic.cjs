// The official `@anthropic-ai/sdk` package on Node: anthropic.cjs SCENARIO.
"use strict";
const Anthropic = require("@anthropic-ai/sdk").default;

const model = "claude-demo";
const client = new Anthropic();
const tools = [{
  name: "weather",
  description: "The weather of a city.",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
}];

function asked(prompt, more) {
  return { model, max_tokens: 1000, messages: [{ role: "user", content: prompt }], ...more };
}

async function create(prompt, more = {}) {
  return call(await client.messages.create(asked(prompt, more)), prompt, false);
}

async function stream(prompt, more = {}) {
  return call(await client.messages.stream(asked(prompt, more)).finalMessage(), prompt, true);
}

function call(message, prompt, streamed) {
  const of = (type) => message.content.filter((block) => block.type === type);
  return {
    endpoint: "POST /v1/messages", model, prompt, streamed, id: message.id,
    text: of("text").map((block) => block.text).join(""),
    thinking: of("thinking").map((block) => block.thinking).join(""),
    tool_calls: of("tool_use").map(({ id, name, input }) => ({ id, name, arguments: input })),
    stop_reason: message.stop_reason, usage: message.usage,
  };
}

const scenarios = {
  message: () => create("Say hello."),
  stream: () => stream("Say hello. [demo chunks=20 pings=5]"),
  thinking: () => stream("Think. [demo thinking_bytes=300]"),
  gzip: () => stream("Say hello. [demo encoding=gzip]"),
  tools: () => create("The weather? [demo tool_calls=2]", { tools }),
  "tools-stream": () => stream("The weather? [demo tool_calls=2]", { tools }),
};

scenarios[process.argv[2]]().then((one) => {
  console.log(JSON.stringify({ client: "node-anthropic", pid: process.pid, calls: [one] }));
});
