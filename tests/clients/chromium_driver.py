"""The driver `chromium`: pages in a browser, each with `driver.js`; see drivers.py for the protocol.

Further commands, for what only a browser does:

=========== ================= ========================================================================================
do          options           result
=========== ================= ========================================================================================
fresh                         null. Everything is forgotten: another browser context, with one page.
page        page              null. Go on with this page, a name of the test's choice; it is opened if it is not yet.
reload                        null. Load the page again; its rooms are gone.
away        back              whether the page was taken from the back-forward cache. Go to another page, and back.
stored                        how many entries the session storage has
without_…                     null. Take the SharedWorker away (``without_workers``).
offline     on                null. Take the network away, or give it back.
sleep       seconds           null. Timers stand still for so long, as in a closed laptop, and run then.
tick        seconds           null. Let the clock of the page run on; `sleep` and `tick` need ``playwright`` in `fresh`.
=========== ================= ========================================================================================

With ``open``, `store` keeps position and session in the session storage, and `shared` shares the connection.
"""

import asyncio
import json
import sys
from http import HTTPStatus
from pathlib import Path

from playwright.async_api import BrowserContext, Page, async_playwright

sys.path.insert(0, str(Path(__file__).parent))

from drivers import HERE, chromium

FLAGS = [
    "--no-sandbox",  # containers have no user namespaces to build one from
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-web-security",  # events come from another port than the page
]
ORIGIN = "http://page.test"
PAGE = """<!doctype html><meta charset=utf-8><link rel=icon href="data:,"><script type=module>
import { begin } from "/driver.js";
window.run = begin("/signalpost.js", (line) => window.emit(line));
addEventListener("pageshow", ({ persisted }) => { window.persisted = persisted; });
</script>"""


def say(line: dict) -> None:
    """Write a result or an event."""
    print(json.dumps(line), flush=True)


async def serve_files(module: Path) -> int:
    """Serve the page, the driver and the client; return the port."""
    files = {"/driver.js": HERE / "driver.js", "/signalpost.js": module}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
        kind = "text/javascript" if path in files else "text/html"
        body = files[path].read_bytes() if path in files else PAGE.encode()
        head = (
            f"HTTP/1.1 {HTTPStatus.OK} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close"
        )
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server.sockets[0].getsockname()[1]


class Pages:
    """The browser, and the pages of the current test."""

    def __init__(self, browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._context: BrowserContext | None = None
        self._pages: dict[str, Page] = {}
        self.page: Page | None = None

    async def fresh(self, playwright_clock: bool = False) -> None:
        """Forget everything."""
        if self._context is not None:
            await self._context.close()
        self._context = await self._browser.new_context()
        await self._context.expose_function("emit", say)
        if playwright_clock:
            await self._context.clock.install()
        self._pages = {}
        await self.open_page("main")

    async def open_page(self, page: str) -> None:
        """Go on with a page."""
        if page not in self._pages:
            self._pages[page] = await self._context.new_page()
            self._pages[page].on("pageerror", lambda error: print(error, file=sys.stderr))
            await self._pages[page].bring_to_front()
            await self._load(self._pages[page])
        self.page = self._pages[page]

    async def _load(self, page: Page) -> None:
        await page.goto(self._url)
        await page.wait_for_function("!!window.run")

    async def reload(self) -> None:
        """Load the page again."""
        await self.page.reload()
        await self.page.wait_for_function("!!window.run")

    async def away(self) -> bool:
        """Go to another page, and back."""
        await self.page.goto(f"{self._url}/elsewhere")
        await self.page.go_back(wait_until="commit")
        await self.page.wait_for_function("window.persisted !== undefined")
        return await self.page.evaluate("window.persisted")

    async def stored(self) -> int:
        """Return how many entries the session storage has."""
        return await self.page.evaluate("sessionStorage.length")

    async def without_workers(self) -> None:
        """Take the SharedWorker away from the page."""
        await self.page.evaluate("delete window.SharedWorker")

    async def offline(self, on: bool) -> None:
        """Take the network away, or give it back."""
        await self._context.set_offline(on)

    async def looked_at(self) -> None:
        """Tell the page what a browser tells one whose tab is in front again."""
        await self.page.evaluate("document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))")

    async def sleep(self, seconds: float) -> None:
        """Let timers stand still, and the clock go on."""
        await self.page.clock.fast_forward(seconds * 1000)

    async def tick(self, seconds: float) -> None:
        """Let the clock run."""
        await self.page.clock.run_for(seconds * 1000)


async def main() -> None:
    """Read commands until there are no more."""
    port = await serve_files(Path(sys.argv[1]))
    async with async_playwright() as playwright:
        # In a new-headless Chromium, pages go into the back-forward cache as they do for people.
        browser = await playwright.chromium.launch(
            executable_path=chromium(),
            args=[*FLAGS, f"--host-resolver-rules=MAP page.test 127.0.0.1:{port}, MAP *.page.test 127.0.0.1"],
            ignore_default_args=["--disable-back-forward-cache"],
        )
        pages = Pages(browser, ORIGIN)
        own = {
            "fresh": pages.fresh,
            "page": pages.open_page,
            "reload": pages.reload,
            "away": pages.away,
            "stored": pages.stored,
            "without_workers": pages.without_workers,
            "offline": pages.offline,
            "looked_at": pages.looked_at,
            "sleep": pages.sleep,
            "tick": pages.tick,
        }

        async def run(command: dict) -> None:
            number, name = command["id"], command["do"]
            options = {key: value for key, value in command.items() if key not in ("id", "do")}
            try:
                if name in own:
                    say({"id": number, "result": await own[name](**options)})
                else:
                    say(await pages.page.evaluate("(command) => run(command)", command))
            except Exception as error:  # noqa: BLE001 - whoever gave the command reads it
                say({"id": number, "error": {"code": "driver", "detail": str(error)}})

        loop = asyncio.get_running_loop()
        tasks = set()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            task = loop.create_task(run(json.loads(line)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
