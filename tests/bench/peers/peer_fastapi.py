# SPDX-License-Identifier: MIT
"""The peer in Python: FastAPI under uvicorn, raw HMAC, one decision per call in memory. Prints {"port"}."""
import base64
import hashlib
import hmac
import json
import os
import socket
import time

import uvicorn
from fastapi import FastAPI, Request, Response

KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
app = FastAPI()
known = set()


def signed(headers, body):
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.new(KEY, text, hashlib.sha256).digest()).decode()
    return abs(time.time() - int(headers["webhook-timestamp"])) < 300 and \
        hmac.compare_digest("v1," + mac, headers["webhook-signature"])


@app.post("/webhook")
async def webhook(request: Request):
    body = await request.body()
    if not signed(request.headers, body):
        return Response(status_code=401)
    event = json.loads(body)
    if event["type"] == "realtime.call.incoming":
        known.add(event["data"]["call_id"])
    return {"ok": True}


listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_keep_alive=120)).run(sockets=[listener])
