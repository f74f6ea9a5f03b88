"""Take the README's picture of the chat page: two people talking, one by day, one by night and on a phone.

Run it from anywhere, with nothing listening on the demo's ports::

    python tests/e2e/screenshot.py [FILE]

It starts the demo app of this repository, talks through it in a real browser, and writes FILE
(default: .github/chat.png). It needs signalpost with its ``test`` extra, and Chromium.
"""

import base64
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
PAGE = "http://127.0.0.1:8090"
LIMIT = 200_000
"""Bytes: the README should open at once."""

ANN, BOB = 0, 1
TALK = [
    (ANN, "Good morning! Is the 8:15 to Ayr on time?"),
    (BOB, "Two minutes late, it waits for the connection at Kilwinning."),
    (ANN, "Which platform?"),
    (BOB, "Platform 3, on your right."),
    (ANN, "<b>Thank you!</b>"),
    (BOB, "That stays text here, by the way."),
]
DESK = {"viewport": {"width": 660, "height": 690}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 330, "height": 690}, "color_scheme": "dark", "has_touch": True, "is_mobile": True}
FRAME = """<!doctype html>
<style>
  body {{ margin: 0; padding: 24px; display: flex; gap: 24px; background: #8c9a90; width: max-content }}
  img {{ display: block; height: 690px; border-radius: 12px; box-shadow: 0 6px 24px rgb(0 0 0 / 35%) }}
</style>
<body><img src="{}"><img src="{}"></body>
"""


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".github" / "chat.png"
    target.parent.mkdir(exist_ok=True)
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "signalpost", "run", ROOT / "routes.yaml"], stdout=subprocess.PIPE, text=True
    )
    try:
        wait_until_up(server)
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium") or sys.exit("there is no Chromium on the PATH")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            target.write_bytes(framed(browser, *two_people_talking(browser)))
            browser.close()
    finally:
        server.terminate()
        server.wait()
    size = target.stat().st_size
    print(f"{target}: {size:,} bytes")
    if size > LIMIT:
        sys.exit(f"that is more than {LIMIT:,}")


def wait_until_up(server: subprocess.Popen[str]) -> None:
    for line in server.stdout:
        if PAGE in line:
            return
    sys.exit("the server did not start")


def two_people_talking(browser: Browser) -> list[bytes]:
    """Hold the conversation; return what each of the two sees, as PNG."""
    pages = [browser.new_page(**look, device_scale_factor=1.5, locale="en-GB") for look in (DESK, PHONE)]
    for page in pages:
        page.goto(PAGE)
        expect(page.locator("#state")).to_have_text("Connected")
    for speaker, text in TALK:
        pages[speaker].locator("#text").fill(text)
        pages[speaker].locator("#text").press("Enter")
        for page in pages:
            expect(page.locator(".message .text").last).to_have_text(text)
        expect(pages[speaker].locator(".own .delivery").last).to_have_text("sent")
    return [still(page) for page in pages]


def still(page: Page) -> bytes:
    page.emulate_media(reduced_motion="reduce")
    page.locator("#text").blur()
    return page.screenshot(animations="disabled")


def framed(browser: Browser, *pictures: bytes) -> bytes:
    """Put the pictures side by side."""
    page = browser.new_page(device_scale_factor=1.5)
    page.set_content(FRAME.format(*(f"data:image/png;base64,{base64.b64encode(each).decode()}" for each in pictures)))
    return page.locator("body").screenshot()


if __name__ == "__main__":
    main()
