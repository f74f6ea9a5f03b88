"""Take the picture of `signalpost live top` for the document of the API: a terminal, drawn by a browser.

Run it from anywhere::

    python tests/e2e/toppicture.py [FOLDER]

It serves a small app with some clients in a process of its own, runs the command on a terminal, and writes ``top.png``
into FOLDER (default: .github). It needs signalpost with its ``test`` extra, and Chromium.
"""

import asyncio
import contextlib
import fcntl
import html
import itertools
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pyte
from screenshot import ROOT, chromium, write
from websockets.asyncio.client import connect

APP = """
endpoints:
  - {name: live, address: 127.0.0.1, port: 0, protocol: ws}
signals:
  - {path: "/rooms/<room>", rebroadcast: path, history: 100}
  - {path: /orders, rebroadcast: path}
  - {path: /positions, rebroadcast: everyone}
  - {path: /date, do: [{reply: {value: it is noon}}]}
  - {path: /archive, rebroadcast: path}
timers: [{name: clock, every: 500ms, do: [{broadcast: {value: tick, path: /rooms/tea}}]}]
"""
CLIENTS = [  # path, seconds between messages; None says nothing
    *[("/rooms/tea", 0.05)] * 4,
    *[("/rooms/coffee", None)] * 20,
    *[("/orders", 0.7)] * 3,
    *[("/positions", 0.2)] * 6,
    ("/date", 1.3),
]
SIGNALPOST = [sys.executable, "-m", "signalpost"]
ROWS, COLUMNS = 8, 92
PAGE = """<style>
  body {{ margin: 0; padding: 24px; background: #8b988e; display: inline-block }}
  pre {{ margin: 0; padding: 16px 20px; border-radius: 10px; background: #101513; color: #e6ebe7;
         font: 15px/1.45 "DejaVu Sans Mono", monospace }}
  b {{ color: #5fd39b }}
</style><pre>{text}</pre>"""


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".github"
    with tempfile.TemporaryDirectory() as app:
        (Path(app) / "routes.yaml").write_text(APP, encoding="utf-8")
        with served(app) as url:
            lines = asyncio.run(look(app, url))
    with chromium() as browser:
        page = browser.new_page(device_scale_factor=1.5)
        page.set_content(PAGE.format(text="\n".join(lines)))
        write(folder / "top.png", page.locator("body").screenshot())


@contextlib.contextmanager
def served(app: str) -> Iterator[str]:
    """Serve the app in a process of its own while the block runs; yield the URL of its signals."""
    server = subprocess.Popen([*SIGNALPOST, "run"], cwd=app, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = next(word for line in server.stdout for word in line.split() if word.startswith("ws://"))
        yield url.rstrip("/")
    finally:
        server.terminate()
        server.wait()


async def look(app: str, url: str) -> list[str]:
    """Return what stands on the terminal of the command while clients talk, as HTML."""
    talks = [asyncio.create_task(talk(f"{url}{path}", pause)) for path, pause in CLIENTS]
    try:
        return await asyncio.to_thread(terminal, app, 5)
    finally:
        for each in talks:
            each.cancel()


async def talk(url: str, pause: float | None) -> None:
    async with connect(url, proxy=None) as client:
        for number in itertools.count():
            if pause is not None:
                await client.send(json.dumps({"message": number}))
            await asyncio.sleep(pause or 60)


def terminal(app: str, seconds: float) -> list[str]:
    """Run the command on a terminal for some seconds; return its lines."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = subprocess.Popen(
        [*SIGNALPOST, "live", "top"], cwd=app, stdin=theirs, stdout=theirs, env={**os.environ, "TERM": "xterm"}
    )
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        stream.feed(os.read(ours, 65_536))
    command.kill()
    command.wait()
    return ["".join(drawn(screen.buffer[row][column]) for column in range(COLUMNS)).rstrip() for row in range(ROWS)]


def drawn(cell: pyte.screens.Char) -> str:
    text = html.escape(cell.data)
    return f"<b>{text}</b>" if cell.bold and text.strip() else text


if __name__ == "__main__":
    main()
