"""Take the README's pictures of the chat page: people talking, by day and by night, and a restart as a short film.

Run it from anywhere, with nothing listening on the demo's ports::

    python tests/e2e/screenshot.py [FOLDER]

It starts the demo app of this repository, talks through it in a real browser, and writes ``chat.png`` and
``restart-1.png`` to ``restart-3.png`` into FOLDER (default: .github). It needs signalpost with its ``test`` extra, and
Chromium.
"""

import base64
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
PAGE = "http://127.0.0.1:8090"
LIMIT = 200_000
"""Bytes of a picture: the README should open at once."""
SCALE = 1.25
"""All sizes below are whole in pixels, too, so that nothing is drawn twice."""

ANN, BOB = 0, 1
TALK = [
    (ANN, "Good morning! Is the 8:15 to Ayr on time?"),
    (BOB, "Two minutes late, it waits for the connection at Kilwinning."),
    (BOB, "All of them are at https://example.com/times?to=ayr."),
    (ANN, "Which platform?"),
    (BOB, "Platform 3, on your right."),
    (ANN, "<b>Thank you!</b>"),
]
BEFORE = [
    (ANN, "The server restarts in a minute. Just go on."),
    (BOB, "Go on? With what?"),
]
MEANWHILE = [
    (ANN, "This I write while it is down."),
    (BOB, "And this is mine. No server in sight."),
]
AFTER = [(ANN, "All here, in one order, and nothing twice.")]

DESK = {"viewport": {"width": 880, "height": 688}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 332, "height": 688}, "color_scheme": "dark", "has_touch": True, "is_mobile": True}
SMALL = {"viewport": {"width": 400, "height": 520}, "color_scheme": "light"}
SMALL_DARK = {**SMALL, "color_scheme": "dark"}
FRAME = """<!doctype html>
<style>
  body {{ margin: 0; padding: 24px; display: flex; gap: 24px; background: #8c9a90; width: max-content }}
  img {{ display: block; height: {height}px; border-radius: 12px }}
</style>
<body>{pictures}</body>
"""


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".github"
    folder.mkdir(exist_ok=True)
    with chromium() as browser, tempfile.TemporaryDirectory() as app:
        copy_demo(Path(app))
        with Server(Path(app)):
            write(folder / "chat.png", framed(browser, 688, *two_people_talking(browser)))
    with chromium() as browser, tempfile.TemporaryDirectory() as app:
        copy_demo(Path(app))
        for number, scene in enumerate(restart(browser, Path(app)), 1):
            write(folder / f"restart-{number}.png", framed(browser, 520, *scene))


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        program = shutil.which("chromium") or sys.exit("there is no Chromium on the PATH")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def copy_demo(folder: Path) -> None:
    """Copy the demo, with a history that outlives the server."""
    for name in ("web", "plugins"):
        shutil.copytree(ROOT / name, folder / name)
    text = (ROOT / "routes.yaml").read_text(encoding="utf-8")
    kept = text.replace("history:\n  limit: 64MiB", "history:\n  limit: 64MiB\n  file: history.db")
    if kept == text:
        sys.exit("routes.yaml has another history than this script knows")
    (folder / "routes.yaml").write_text(kept, encoding="utf-8")


class Server:
    """The demo in a process of its own, while the block runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        command = [sys.executable, "-u", "-m", "signalpost", "run"]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.PIPE, text=True)
        for line in self._process.stdout:
            if "Ctrl-C stops" in line:
                return
        sys.exit("the server did not start")

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait()


def two_people_talking(browser: Browser) -> list[bytes]:
    """Hold the conversation; return what each of the two sees, as PNG."""
    pages = open_pages(browser, DESK, PHONE)
    talk(pages, TALK)
    return [still(page) for page in pages]


def restart(browser: Browser, app: Path) -> Iterator[list[bytes]]:
    """Restart the server while two people talk; yield what both see before, meanwhile and after."""
    with Server(app):
        pages = open_pages(browser, SMALL, SMALL_DARK)
        talk(pages, BEFORE)
        yield [still(page) for page in pages]
    for speaker, text in MEANWHILE:
        say(pages[speaker], text)
    for page in pages:
        expect(page.locator(".own .delivery").last).to_have_text("waiting")
        expect(page.locator("#state")).to_contain_text("Reconnecting")
    yield [still(page) for page in pages]
    with Server(app):
        for page in pages:
            expect(page.locator("#state")).to_have_text("Connected", timeout=60_000)
        for page in pages:
            expect(page.locator(".message")).to_have_count(len(BEFORE) + len(MEANWHILE))
            expect(page.locator("#people .person")).to_have_count(2)
        talk(pages, AFTER)
        yield [still(page) for page in pages]


def open_pages(browser: Browser, *looks: dict[str, object]) -> list[Page]:
    """Open a page for Ann and one for Bob."""
    pages = []
    for name, look in zip(("Ann", "Bob"), looks, strict=True):
        page = browser.new_page(**look, device_scale_factor=SCALE, locale="en-GB")
        page.goto(PAGE)
        page.get_by_label("Your name").fill(name)
        page.get_by_role("button", name="Take it").click()
        pages.append(page)
    for page in pages:
        expect(page.locator("#state")).to_have_text("Connected")
        expect(page.locator("#people .person")).to_have_count(2)
    return pages


def talk(pages: list[Page], conversation: list[tuple[int, str]]) -> None:
    for speaker, text in conversation:
        say(pages[speaker], text)
        for page in pages:
            expect(page.locator(".message .text").last).to_have_text(text)
        expect(pages[speaker].locator(".own .delivery").last).to_have_text("sent")


def say(page: Page, text: str) -> None:
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")


def still(page: Page) -> bytes:
    page.emulate_media(reduced_motion="reduce")
    page.locator("#text").blur()
    return page.screenshot(animations="disabled")


def framed(browser: Browser, height: int, *pictures: bytes, scale: float = SCALE) -> bytes:
    """Put the pictures side by side."""
    page = browser.new_page(device_scale_factor=scale)
    sources = "".join(f'<img src="data:image/png;base64,{base64.b64encode(each).decode()}">' for each in pictures)
    page.set_content(FRAME.format(height=height, pictures=sources))
    picture = page.locator("body").screenshot()
    page.close()
    return picture


def write(target: Path, picture: bytes) -> None:
    target.write_bytes(picture)
    print(f"{target}: {len(picture):,} bytes")
    if len(picture) > LIMIT:
        sys.exit(f"that is more than {LIMIT:,}")


if __name__ == "__main__":
    main()
