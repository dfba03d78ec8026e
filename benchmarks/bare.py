"""The least that FastAPI can do: one route that answers the bytes of a file. python -m benchmarks.bare FILE

Prints where it is. uvicorn is told the same as by `labelog serve`.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response


def create_app(body: bytes) -> FastAPI:
    app = FastAPI()

    @app.get("/slice")
    def get_slice() -> Response:
        return Response(body, media_type="application/octet-stream")

    return app


if __name__ == "__main__":
    listener = socket.socket(socket.AF_INET, proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(create_app(Path(sys.argv[1]).read_bytes()), access_log=False, log_level="warning",
                            server_header=False, ws="none", http="h11")  # fmt: skip
    uvicorn.Server(config).run([listener])
