"""Take the picture of the console for its document: by day on a desk, by night on a phone.

Run it from anywhere::

    python tests/e2e/consolepicture.py [FOLDER]

It serves a small app with some clients, looks at it in a real browser, and writes ``console.png`` into FOLDER (default:
.github). It needs signalpost with its ``test`` extra, and Chromium.
"""

import asyncio
import contextlib
import itertools
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
from playwright.sync_api import Browser, expect
from screenshot import ROOT, chromium, framed, write

from signalpost.testing import serve

SECRET = "a secret of the picture that is long enough for HS256"
APP = f"""
endpoints:
  - {{name: web, address: 127.0.0.1, port: 0, protocol: http}}
  - {{name: live, address: 127.0.0.1, port: 0, protocol: ws}}
undeclared: refuse
auth: {{tokens: {{keys: {{secret: {SECRET}}}, algorithms: [HS256]}}, cookie: who}}
signals:
  - {{path: "/rooms/<room>", rebroadcast: path, presence: true}}
  - path: /orders
    rebroadcast: path
    presence: true
    may: {{publish: "{{{{ 'shop' in claims.roles }}}}"}}
    schema: {{type: object, required: [message], properties: {{message: {{type: string, maxLength: 24}}}}}}
  - {{path: /date, do: [{{reply: {{value: it is noon}}}}]}}
timers: [{{name: clock, every: 5s, do: [{{broadcast: {{value: tick, path: /rooms/tea}}}}]}}]
schedules: [{{name: nightly, cron: "0 3 * * *", do: [{{broadcast: {{value: a new day, path: /rooms/tea}}}}]}}]
monitor: {{console: /console, may: "{{{{ 'admin' in claims.roles }}}}"}}
"""
PEOPLE = [  # name, roles, path, seconds between messages, what they say
    ("bob", ["shop"], "/orders", 2.2, ["4 lamps", "2 signals", "a longer order than one may send"]),
    ("eve", [], "/orders", 3.1, ["one train, please"]),
    ("kim", [], "/rooms/tea", 0.11, ["Good morning!"]),
    ("zoe", [], "/rooms/tea", 0.3, ["Is the 8:15 on time?"]),
    ("ida", [], "/rooms/coffee", 0.9, ["black"]),
    ("tom", [], "/date", 1.4, ["now"]),
]
LOOKS = {
    "desk": {"viewport": {"width": 940, "height": 1000}, "color_scheme": "light"},
    "phone": {"viewport": {"width": 390, "height": 1000}, "color_scheme": "dark", "has_touch": True, "is_mobile": True},
}
MINUTE_MS = 62_000  # the charts are full then


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".github"
    with served() as url, chromium() as browser:
        write(folder / "console.png", framed(browser, 1000, *pictures(browser, url), scale=1))


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Serve the app in a thread, with people who talk, while the block runs; yield its URL."""
    told: list[str] = []
    up, down = threading.Event(), threading.Event()

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # so that places have short names
            async with serve(APP, folder=Path()) as app, contextlib.AsyncExitStack() as stack:
                talks = []
                for name, roles, path, pause, texts in PEOPLE:
                    headers = {"Authorization": f"Bearer {token(name, *roles)}"}
                    client = await stack.enter_async_context(app.connect(path, additional_headers=headers))
                    talks += [asyncio.create_task(talk(client, pause, texts)), asyncio.create_task(listen(client))]
                await app.reload(APP.replace("every: 5s", "every: 20s"))
                told.append(app.url("web"))
                up.set()
                await asyncio.to_thread(down.wait)
                for each in talks:
                    each.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    up.wait()
    try:
        yield told[0]
    finally:
        down.set()
        thread.join()


async def talk(client, pause: float, texts: list[str]) -> None:
    for text in itertools.cycle(texts):
        await client.send_raw(json.dumps({"message": text}))
        await asyncio.sleep(pause)


async def listen(client) -> None:
    async for _ in client.socket:
        pass


def token(name: str, *roles: str) -> str:
    return jwt.encode({"sub": name, "roles": roles, "exp": int(time.time()) + 3600}, SECRET, algorithm="HS256")


def pictures(browser: Browser, url: str) -> list[bytes]:
    """Look for a minute, open two messages, and return what each screen shows, as PNG."""
    pages = []
    for look in LOOKS.values():
        context = browser.new_context(**look, locale="en-GB")
        context.add_cookies([{"name": "who", "value": token("ann", "admin"), "url": url}])
        page = context.new_page()
        page.goto(f"{url}/console?path=/orders")
        expect(page.locator("#state")).to_have_text("Live")
        pages.append(page)
    pages[0].wait_for_timeout(MINUTE_MS)
    for page in pages:
        for text in ("one train, please", "4 lamps"):
            page.locator("#messages summary", has_text=text).first.click()
        page.locator("#messages").evaluate("list => list.scrollTo(0, 0)")
    return [page.screenshot(animations="disabled") for page in pages]


if __name__ == "__main__":
    main()
