"""A client whose write fails twice and is given up: its server reads nothing."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import time
from urllib.parse import urlsplit

PORT = urlsplit(os.environ["MODEL_SERVER_URL"]).port or 443
PROMPT = "Say hello. " * 1200
BODY = b'{"model": "gpt-demo", "messages": [{"role": "user", "content": "%s"}]}' % PROMPT.encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
STEP_BYTES = 1500

plain = socket.socket()
plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
plain.connect(("127.0.0.1", PORT))
tls = ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")
tls.setblocking(False)
request = HEAD % len(BODY) + BODY
failures = 0
while request and failures < 2:
    try:
        request = request[tls.send(request[:STEP_BYTES]) :]
        failures = 0
    except ssl.SSLWantWriteError:
        failures += 1
        time.sleep(0.05)
tls.close()
if not request:
    sys.exit("gives_up.py: all was accepted")
