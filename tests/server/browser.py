"""A real browser, Chromium without a window: told what to do through a pipe (the DevTools protocol)."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
import PIL.Image

PROGRAM = shutil.which("chromium")
MISSING = "Chromium is not installed (Debian's package chromium)"


class Browser:
    """One page of it. WebGL is drawn by the processor."""

    def __init__(self, profile: Path) -> None:
        told, self._tell = os.pipe()
        self._answers, answer = os.pipe()
        options = ("--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
                   "--ignore-gpu-blocklist", "--window-size=900,700", f"--user-data-dir={profile}",
                   "--remote-debugging-pipe", "about:blank")  # fmt: skip
        pipes = f'exec {PROGRAM} "$@" 3<&{told} 4>&{answer}'  # the descriptors that it takes
        self.process = subprocess.Popen(["bash", "-c", pipes, "bash", *options], pass_fds=(told, answer),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        os.close(told)
        os.close(answer)
        self._sent, self._received, self._page = 0, b"", {}
        page = next(each for each in self.ask("Target.getTargets")["targetInfos"] if each["type"] == "page")
        attached = self.ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._page = {"sessionId": attached["sessionId"]}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._tell)
        os.close(self._answers)

    def ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": arguments, **self._page}
        os.write(self._tell, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._sent:
                assert "error" not in told, told
                return told["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            piece = os.read(self._answers, 2**16)
            assert piece, "the browser has ended"
            self._received += piece
        first, _, self._received = self._received.partition(b"\0")
        return json.loads(first)

    def run(self, program: str) -> Any:
        """What a program in JavaScript gives."""
        found = self.ask("Runtime.evaluate", expression=program, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, address: str) -> None:
        assert not self.ask("Page.navigate", url=address).get("errorText")
        self.wait("document.readyState == 'complete'")

    def wait(self, condition: str, seconds: float = 30) -> None:
        """Until something holds."""
        until = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < until, (condition, self.run("document.documentElement.innerText"))
            time.sleep(0.1)

    def picture(self) -> np.ndarray:
        """What it shows: (y, x, 3)."""
        data = base64.b64decode(self.ask("Page.captureScreenshot")["data"])
        return np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"))
