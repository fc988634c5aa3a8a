# SPDX-License-Identifier: MIT
"""The peer of sidebands in Python: websockets and json. Arguments: PORT N tls|plain. Prints {"open":N}."""
import asyncio
import json
import ssl
import sys

import websockets

PORT, N, HOW = sys.argv[1], int(sys.argv[2]), sys.argv[3]
TLS = None
if HOW == "tls":
    TLS = ssl.create_default_context()
    TLS.check_hostname = False
    TLS.verify_mode = ssl.CERT_NONE


async def band(i, opened):
    uri = f"ws{'s' if TLS else ''}://127.0.0.1:{PORT}/v1/realtime?call_id=rtc_peer_{i}"
    async with websockets.connect(uri, ssl=TLS, compression=None) as socket:
        opened()
        async for text in socket:
            json.loads(text)


async def main():
    left = N

    def opened():
        nonlocal left
        left -= 1
        if left == 0:
            print(json.dumps({"open": N}), flush=True)

    await asyncio.gather(*(band(i, opened) for i in range(N)))


asyncio.run(main())
