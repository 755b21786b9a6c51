// Node's own fetch, which keeps its connections alive: fetch.cjs chat|stream [COUNT].
"use strict";
const url = `${process.env.MODEL_SERVER_URL}/v1/chat/completions`;
const headers = {
  authorization: `Bearer ${process.env.OPENAI_API_KEY}`,
  "content-type": "application/json",
};

async function ask(number) {
  const prompt = `Say hello, time ${number}. [demo chunks=10]`;
  const streamed = process.argv[2] === "stream";
  const body = JSON.stringify({
    model: "gpt-demo", messages: [{ role: "user", content: prompt }], stream: streamed,
  });
  const response = await fetch(url, { method: "POST", headers, body });
  return {
    endpoint: "POST /v1/chat/completions", model: "gpt-demo", prompt, streamed,
    request_body: body, response_body: await response.text(),
  };
}

async function main() {
  const calls = [];
  for (let number = 0; number < Number(process.argv[3] || 3); number++) {
    calls.push(await ask(number));
  }
  console.log(JSON.stringify({ client: "node-fetch", pid: process.pid, calls }));
}

main();
