"""A headless Chromium, driven over the DevTools protocol on two pipes: nothing to install beside the browser."""

import base64
import fcntl
import importlib.util
import itertools
import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)


class Browser:
    """One page of one Chromium."""

    def __init__(self, program: str, profile: Path) -> None:
        their_in, self._out = _pipe()
        self._in, their_out = _pipe()
        quiet = os.open(os.devnull, os.O_RDWR)
        # In this order: `quiet` may itself be 3 or 4.
        actions = [(os.POSIX_SPAWN_DUP2, quiet, stream) for stream in (1, 2)]
        actions += [(os.POSIX_SPAWN_DUP2, their_in, 3), (os.POSIX_SPAWN_DUP2, their_out, 4)]
        arguments = [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._pid = os.posix_spawn(program, arguments, os.environ, file_actions=actions, setsid=True)
        for end in (their_in, their_out, quiet):
            os.close(end)
        self._buffer = b""
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self.complaints: list[str] = []
        """Exceptions and errors on the page's console."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._in, 1 << 20) if ready else b""
            if not chunk:
                raise RuntimeError("the browser does not answer")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(line)
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(message["params"]["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.complaints.append(message["params"]["entry"]["text"])
        return message

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """The window's size in CSS pixels, and the colours the person prefers."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Go to a page."""
        self.call("Page.navigate", url=url)

    def ask(self, expression: str) -> Any:
        """The value of an expression on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait(self, expression: str, *, seconds: float = 20) -> Any:
        """The value once it is true; says what the page shows when it never is."""
        deadline = time.monotonic() + seconds
        while not (value := self.ask(expression)):
            if time.monotonic() > deadline:
                raise AssertionError(f"never true: {expression}\n{self.ask('document.body.innerText')}")
            time.sleep(0.05)
        return value

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def close(self) -> None:
        """End the browser and all of its processes."""
        self._session = None
        try:
            self.call("Browser.close")
        except (RuntimeError, OSError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._in)
        os.close(self._out)


def _pipe() -> tuple[int, int]:
    """A pipe whose ends lie above the two numbers that the browser is given."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium on the PATH")
    browser = Browser(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser) -> Browser:
    """The browser without cookies and earlier complaints."""
    browser.open("about:blank")
    browser.call("Network.clearBrowserCookies")
    browser.complaints.clear()
    return browser


def _api_fakes() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "api" / "conftest.py"
    spec = importlib.util.spec_from_file_location("api_fakes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["api_fakes"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def api() -> ModuleType:
    """The fakes of `tests/api`."""
    return _api_fakes()


@pytest.fixture
def serve(api: ModuleType) -> Iterator[Callable[..., Any]]:
    """Serve the app on fakes; `serve(fakes)` gives its URL and more."""
    open_servers = []

    def start(fakes: Any, *, port: int = 0) -> Any:
        served = api.Served(api.build_app(fakes.services()), port)
        open_servers.append(served)
        return served.__enter__()

    yield start
    for served in open_servers:
        if served.is_running():
            served.stop()
