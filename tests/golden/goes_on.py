"""A client that sends the conversation so far with each request, the last on a new connection."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from urllib.parse import urlsplit

PORT = urlsplit(os.environ["MODEL_SERVER_URL"]).port or 443
HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-demo-made-up-0123456789"}
messages = [
    {"role": "system", "content": "".join(f"Rule {number}: be brief. " for number in range(300))}
]


def connected() -> http.client.HTTPSConnection:
    context = ssl.create_default_context()
    return http.client.HTTPSConnection("localhost", PORT, context=context)


connection = connected()
for question in ("Say hello.", "And again.", "Once more."):
    if question == "Once more.":
        connection.close()
        connection = connected()
    messages.append({"role": "user", "content": question})
    body = json.dumps({"model": "gpt-demo", "messages": messages}).encode()
    connection.request("POST", "/v1/chat/completions", body, HEADERS)
    answer = json.loads(connection.getresponse().read())
    messages.append(answer["choices"][0]["message"])
connection.close()
