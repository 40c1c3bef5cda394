"""A real headless Chromium, driven over the DevTools protocol."""

import itertools
import json
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

DEADLINE_S = 60


@contextmanager
def chromium(profile):
    """A browser with its own profile folder; gives a function that opens a page."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no Chromium")
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    command += [f"--user-data-dir={profile}", "about:blank"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            port_file = Path(profile) / "DevToolsActivePort"
            wait(lambda: port_file.exists() and len(port_file.read_text().split()) == 2, "Chromium to start")
            port, path = port_file.read_text().split()
            with Connection(f"ws://127.0.0.1:{port}{path}") as connection:
                yield lambda url: Page(connection, url)
                # So that what pages kept is on disk.
                connection.send("Browser.close")
            process.wait(DEADLINE_S)
        finally:
            process.kill()
            process.wait()
            port_file.unlink(missing_ok=True)


def wait(reached, what):
    """Wait until `reached()` is true, and give what it gave."""
    end_s = time.monotonic() + DEADLINE_S
    while not (found := reached()):
        assert time.monotonic() < end_s, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


class Connection:
    """Commands to the browser and their results."""

    def __init__(self, url):
        self._connecting = connect(url, max_size=None, open_timeout=DEADLINE_S)
        self._numbers = itertools.count(1)

    def __enter__(self):
        self._socket = self._connecting.__enter__()
        return self

    def __exit__(self, *fault):
        self._connecting.__exit__(*fault)

    def send(self, method, session=None, **parameters):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        self._socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        while True:
            answer = json.loads(self._socket.recv(timeout=DEADLINE_S))
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer)
                return answer["result"]


class Page:
    """One tab."""

    def __init__(self, connection, url):
        self._connection = connection
        self._target = connection.send("Target.createTarget", url="about:blank")["targetId"]
        attached = connection.send("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        self.go(url)

    def __call__(self, expression):
        """Value of a JavaScript expression."""
        found = self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def go(self, url):
        """Returns once the page stands."""
        assert "errorText" not in (found := self.do("Page.navigate", url=url)), found
        self.wait("document.readyState === 'complete'")

    def do(self, method, **parameters):
        return self._connection.send(method, self._session, **parameters)

    def wait(self, expression):
        return wait(lambda: self(expression), expression)

    def press(self, key):
        self.do("Input.dispatchKeyEvent", type="keyDown", key=key, text=key if len(key) == 1 else "")
        self.do("Input.dispatchKeyEvent", type="keyUp", key=key)

    def hover(self, selector, index=0):
        x, y = self.middle(selector, index)
        self.do("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        return x, y

    def click(self, selector, index=0):
        """The mouse's left button in the middle of an element."""
        x, y = self.hover(selector, index)
        for kind in ("mousePressed", "mouseReleased"):
            self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def drag(self, selector, shares):
        """The mouse's left button down, over places of an element, and up; in shares of its width and height."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y, width, height = self(f"(b => [b.x, b.y, b.width, b.height])({box})")
        places = [{"x": x + across * width, "y": y + down * height} for across, down in shares]
        self.do("Input.dispatchMouseEvent", type="mousePressed", button="left", clickCount=1, **places[0])
        for place in places[1:]:
            self.do("Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, **place)
        self.do("Input.dispatchMouseEvent", type="mouseReleased", button="left", clickCount=1, **places[-1])

    def give_file(self, selector, path):
        """A file, chosen in an input."""
        root = self.do("DOM.getDocument")["root"]["nodeId"]
        node = self.do("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.do("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def save_downloads_to(self, folder):
        """Instead of asking where."""
        self._connection.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def tap(self, selector):
        """A finger on the middle of an element."""
        x, y = self.middle(selector)
        self.do("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.do("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def middle(self, selector, index=0):
        box = f"document.querySelectorAll({json.dumps(selector)})[{index}].getBoundingClientRect()"
        return self(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})")

    def write(self, text):
        self.do("Input.insertText", text=text)

    def desk(self):
        """A large screen."""
        self.do("Emulation.setDeviceMetricsOverride", width=1600, height=900, deviceScaleFactor=1, mobile=False)

    def phone(self):
        """A narrow screen with fingers."""
        self.do("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
        self.do("Emulation.setTouchEmulationEnabled", enabled=True)

    def close(self):
        """As a person who closes the tab."""
        self._connection.send("Target.closeTarget", targetId=self._target)
