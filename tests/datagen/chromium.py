"""Chromium without a window, driven over its debugging pipe: addresses, script, keys, sizes, screenshots, bytes."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WAIT_s = 60.0
_READ, _WRITE = 3, 4
"""Descriptors that Chromium reads commands from and writes answers to."""
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--remote-debugging-pipe", "--hide-scrollbars", "--force-color-profile=srgb",
)  # fmt: skip


class Browser:
    """One tab."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._buffer, self._number = write, read, b"", 0
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session: str | None = None
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its result; events that arrive meanwhile are kept."""
        self._number += 1
        session = {"sessionId": self._session} if getattr(self, "_session", None) else {}
        command = {"id": self._number, "method": method, "params": parameters, **session}
        os.write(self._write, json.dumps(command).encode() + b"\0")
        while True:
            message = self._receive()
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message.get('error')}"
                return message["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], WAIT_s)
            assert ready, "chromium does not answer"
            data = os.read(self._read, 1 << 20)
            assert data, "chromium has ended"
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message

    def open(self, url: str, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """Open an address in a new document; forget the events of the one before."""
        self.events.clear()
        self.send("Page.navigate", url="about:blank")
        mobile = width < 600
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        while not self._loaded():
            self._receive()
        self.events.clear()
        self.send("Page.navigate", url=url)
        while not self._loaded():
            self._receive()

    def _loaded(self) -> bool:
        return any(event["method"] == "Page.loadEventFired" for event in self.events)

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page; a promise is awaited."""
        found = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, f"{script}: {found['exceptionDetails']}"
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until an expression is true in the page."""
        self._wait(lambda: bool(self.run(condition)), condition)

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + WAIT_s
        while not done():
            assert time.monotonic() < end, f"waited {WAIT_s:.0f} s for {what}; the page says {self.text('body')[:800]}"
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """Return the visible text of an element."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def fill(self, selector: str, value: str) -> None:
        """Set a field as typing would."""
        at = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{at}.value = {json.dumps(value)}; {at}.dispatchEvent(new Event('input', {{bubbles: true}}))")

    def press(self, key: str, selector: str | None = None) -> None:
        """Press a key on the element that has the focus, or on one that gets it."""
        if selector:
            self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        codes = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "End": 35, "Home": 36, "Tab": 9}
        code = codes.get(key, ord(key[0]))
        printed = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            given = printed if kind == "keyDown" else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **given)

    def drag(self, selector: str, begin: float, end: float) -> None:
        """Drag the mouse across an element, between two fractions of its width."""
        box = self.run(
            f"(r => [r.x, r.y, r.width, r.height])(document.querySelector('{selector}').getBoundingClientRect())"
        )
        y = box[1] + box[3] / 2
        for kind, at in (("mousePressed", begin), ("mouseMoved", end), ("mouseReleased", end)):
            held = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.send("Input.dispatchMouseEvent", type=kind, x=box[0] + at * box[2], y=y, buttons=1, **held)

    def bytes_received(self) -> int:
        """Return the bytes of all answers since the address was opened, heads included."""
        finished = [e["params"]["encodedDataLength"] for e in self.events if e["method"] == "Network.loadingFinished"]
        return int(sum(finished))

    def addresses(self) -> list[str]:
        """Return the addresses that were requested."""
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]

    def complaints(self) -> list[str]:
        """Return errors that the page or the browser logged, such as violations of the policy."""
        logged = [e["params"]["entry"] for e in self.events if e["method"] == "Log.entryAdded"]
        thrown = [e["params"]["exceptionDetails"] for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        return [f"{e['text']} {e.get('url', '')}" for e in logged if e["level"] == "error"] + [str(e) for e in thrown]

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write a screenshot of the page, all of its height or what is in view."""
        path.parent.mkdir(parents=True, exist_ok=True)
        data = self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Run a browser; skip where Chromium is not installed."""
    program = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if program is None:
        pytest.skip("chromium is not installed")
    commands, write = os.pipe()
    read, answers = os.pipe()

    def plumb() -> None:
        # The ends may have the very numbers that Chromium expects.
        for old, new in ((os.dup(commands), _READ), (os.dup(answers), _WRITE)):
            os.dup2(old, new)

    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=plumb,
    )
    os.close(commands)
    os.close(answers)
    try:
        browser = Browser(write, read)
        yield browser
        browser._session = None
        browser.send("Browser.close")
    finally:
        os.close(write)
        os.close(read)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
