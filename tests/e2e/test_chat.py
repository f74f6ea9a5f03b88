"""The chat as people use it: names, rooms, who is here, what is new and what is old, in real browsers."""

import contextlib
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect
from websockets.sync.client import connect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

OpenPage = Callable[..., Page]


def say(page: Page, text: str) -> None:
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")


def own(page: Page) -> Locator:
    return page.locator(".message.own")


def others(page: Page) -> Locator:
    return page.locator(".message:not(.own)")


def texts(messages: Locator) -> Locator:
    return messages.locator(".text")


def delivery(messages: Locator) -> Locator:
    return messages.locator(".delivery")


def names(page: Page) -> Locator:
    return page.locator("#people .person")


HELD_BACK = """
    // Lines that let some messages pass, and hold the others back until they are released.
    window.passes = Infinity;
    window.WebSocket = class extends WebSocket {
      constructor(...of) {
        super(...of);
        const held = [];
        this.addEventListener("message", event => {
          if (!event.isTrusted || passes-- > 0) return;
          event.stopImmediatePropagation();
          held.push(event.data);
        });
        window.release = () => {
          passes = Infinity;
          for (const data of held.splice(0)) this.dispatchEvent(new MessageEvent("message", {data}));
        };
      }
    };
"""


def tell(app: Any, *values: Any, room: str = "lobby") -> None:
    """Say something in a room by a program of one's own, and wait until it is said."""
    with connect(f"{app.signals_url}/chat/{room}", proxy=None, subprotocols=["signalpost.v1"]) as client:
        for number, value in enumerate(values):
            client.send(json.dumps({"message": value, "ref": number}))
        answers = read_answers(client, len(values))
    assert all("ack" in answer for answer in answers), answers


def read_answers(client: Any, count: int) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []
    while len(answers) < count:
        frame = json.loads(client.recv())
        if "ack" in frame or "error" in frame:
            answers.append(frame)
    return answers


def remote(app: Any) -> str:
    """Return the page's address by a name that the machine needs a network for, so that the page can be offline."""
    return app.url.replace("127.0.0.1", "signalpost.test")


def go_away(page: Page) -> None:
    page.context.set_offline(True)
    expect(page.locator("#state")).to_have_text("Offline")


def come_back(page: Page) -> None:
    page.context.set_offline(False)
    expect(page.locator("#state")).to_have_text("Connected")


def hide(page: Page, hidden: bool) -> None:
    """Have a page think that its tab is hidden, or shown again."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def top_of_log(page: Page) -> int:
    return page.locator("#log").evaluate("log => Math.round(log.scrollTop)")


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# A name each


def test_who_is_new_reads_along_is_asked_for_a_name_and_keeps_it(app: Any, open_page: OpenPage):
    ann, bob = open_page(app.url, name="Ann"), open_page(app.url, name=None)
    say(ann, "read by all")
    expect(texts(others(bob))).to_have_text(["read by all"])
    expect(bob.locator("#text")).to_be_hidden()

    expect(bob.get_by_label("Your name")).to_be_focused()
    bob.keyboard.type("  Bob   the  Builder ")
    bob.keyboard.press("Enter")
    expect(bob.locator("#text")).to_be_focused()
    expect(bob.locator("#state")).to_have_text("Connected")
    say(bob, "here I am")

    expect(others(ann).locator(".who bdi")).to_have_text(["Bob the Builder"])
    expect(names(ann)).to_have_text([re.compile("^Ann"), "Bob the Builder"])
    bob.reload()
    expect(bob.locator("#own-name")).to_have_text("Bob the Builder")
    expect(bob.locator("#naming")).to_be_hidden()
    expect(names(ann)).to_have_text([re.compile("^Ann"), "Bob the Builder"])
    expect(texts(bob.locator(".message"))).to_have_text(["read by all", "here I am"])


@pytest.mark.slow
def test_a_name_can_be_changed_and_nothing_is_missed_or_repeated_by_that(app: Any, open_page: OpenPage):
    ann, bob = open_page(app.url, name="Ann"), open_page(app.url, name="Bob")
    say(ann, "first")
    say(bob, "second")
    expect(bob.locator(".message")).to_have_count(2)

    bob.get_by_role("button", name="Change name").click()
    expect(bob.get_by_label("Your name")).to_have_value("Bob")
    bob.keyboard.press("Escape")
    expect(bob.locator("#text")).to_be_focused()
    bob.get_by_role("button", name="Change name").click()
    bob.get_by_label("Your name").fill("Robert")
    bob.get_by_role("button", name="Take it").click()
    say(ann, "third")
    say(bob, "fourth")

    for page in (ann, bob):
        expect(texts(page.locator(".message"))).to_have_text(["first", "second", "third", "fourth"])
        expect(page.locator(".gap, .new")).to_have_count(0)
    expect(others(ann).locator(".who bdi")).to_have_text(["Bob", "Robert"])
    expect(delivery(own(bob))).to_have_text(["sent", "sent"])
    expect(names(bob)).to_have_text([re.compile("^Robert"), "Ann"])
    expect(names(ann)).to_have_text([re.compile("^Ann"), "Robert"])


@pytest.mark.slow
def test_a_name_can_be_changed_while_there_is_no_line_and_nothing_is_missed(
    make_app: Callable[[], Any], open_page: OpenPage
):
    app = make_app()
    file = app.folder / "routes.yaml"
    file.write_text(file.read_text().replace('"replay": 50', '"replay": 0'))
    app.start()
    page, other = open_page(remote(app), name="Bob"), open_page(app.url, name="Ann")
    tell(app, "before")
    expect(texts(others(page))).to_have_text(["before"])

    go_away(page)
    tell(app, "meanwhile")
    say(page, "as Bob")
    page.get_by_role("button", name="Change name").click()
    page.get_by_label("Your name").fill("Robert")
    page.keyboard.press("Enter")
    say(page, "as Robert")
    come_back(page)

    expect(texts(page.locator(".message"))).to_have_text(["before", "meanwhile", "as Bob", "as Robert"])
    expect(delivery(own(page))).to_have_text(["sent", "sent"])
    expect(page.locator(".new")).to_have_text("1 new message")
    expect(texts(others(other))).to_have_text(["before", "meanwhile", "as Bob", "as Robert"])
    expect(others(other).locator(".who bdi").nth(2)).to_have_text("Bob")
    expect(names(other)).to_have_text([re.compile("^Ann"), "Robert"])


@pytest.mark.slow
def test_what_is_under_way_while_the_name_is_changed_arrives_once(app: Any, open_page: OpenPage):
    page, other = open_page(app.url, name="Bob"), open_page(app.url, name="Ann")
    app.freeze()
    say(page, "under way")
    expect(delivery(own(page))).to_have_text(["sending"])
    page.get_by_role("button", name="Change name").click()
    page.get_by_label("Your name").fill("Robert")
    page.keyboard.press("Enter")
    expect(delivery(own(page))).to_have_text(["waiting"])
    app.thaw()

    expect(delivery(own(page))).to_have_text(["sent"])
    say(other, "and then")
    expect(texts(page.locator(".message"))).to_have_text(["under way", "and then"])
    expect(texts(other.locator(".message"))).to_have_text(["under way", "and then"])
    expect(texts(open_page(app.url, name="Eve").locator(".message"))).to_have_text(["under way", "and then"])


@pytest.mark.slow
def test_what_one_said_before_is_ones_own_afterwards_and_nobody_elses(app: Any, open_page: OpenPage):
    page = open_page(app.url, name="Ann")
    say(page, "mine")
    expect(delivery(own(page))).to_have_text(["sent"])
    tell(app, {"name": "Ann", "text": "not hers"})

    page.reload()

    expect(texts(page.locator(".message"))).to_have_text(["mine", "not hers"])
    expect(texts(own(page))).to_have_text(["mine"])
    expect(delivery(own(page))).to_have_text(["sent"])
    other_tab = page.context.new_page()
    other_tab.goto(app.url)
    expect(texts(own(other_tab))).to_have_text(["mine"])
    say(other_tab, "from the other tab")
    expect(texts(own(page))).to_have_text(["mine", "from the other tab"])


# Who is here


@pytest.mark.slow
def test_everyone_sees_who_is_here_with_themselves_first(app: Any, open_page: OpenPage):
    zoe, ann = open_page(app.url, name="Zoë"), open_page(app.url, name="ann")
    open_page(app.url, name="ann")
    gone = open_page(app.url, name="Bob")

    expect(names(zoe)).to_have_text(["Zoëyou", "ann\u00d7 2", "Bob"])
    expect(names(ann)).to_have_text(["ann\u00d7 2you", "Bob", "Zoë"])
    expect(zoe.get_by_role("heading", name="Who is here")).to_contain_text("4")
    gone.close()

    expect(names(zoe)).to_have_text(["Zoëyou", "ann\u00d7 2"])


@pytest.mark.slow
def test_of_too_many_people_the_number_is_told(make_app: Callable[[], Any], open_page: OpenPage):
    app = make_app()
    file = app.folder / "routes.yaml"
    file.write_text(file.read_text().replace('"grace": "3s"', '"grace": "3s", "most": 1'))
    app.start()
    page = open_page(app.url)
    expect(names(page)).to_have_text(["Guestyou"])
    open_page(app.url)

    expect(page.locator("#people")).to_have_text("2 people")
    expect(page.get_by_role("heading", name="Who is here")).to_contain_text("2")


# What was said before


@pytest.mark.slow
def test_what_was_said_before_is_there_and_older_words_come_when_one_reads_back(app: Any, open_page: OpenPage):
    tell(app, *({"name": "Ann", "text": f"number {number}"} for number in range(170)))
    page = open_page(app.url)
    expect(texts(others(page)).first).to_have_text("number 120")
    expect(texts(others(page)).last).to_have_text("number 169")
    expect(others(page).last).to_be_in_viewport()
    expect(page.locator("#newest")).to_be_hidden()

    first = others(page).first
    page.locator("#log").evaluate("log => log.scrollTo(0, 300)")
    expect(texts(others(page)).first).to_have_text("number 70")
    seen = page.get_by_text("number 125", exact=True)
    expect(seen).to_be_in_viewport()  # it is read on where it was
    for _ in range(3):
        page.locator("#log").evaluate("log => log.scrollTo(0, 0)")
        page.locator("#log").evaluate("log => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    page.locator("#log").evaluate("log => log.scrollTo(0, 0)")

    expect(texts(others(page)).first).to_have_text("number 0")
    expect(page.locator("#older")).to_have_text("Nothing older is kept.")
    expect(texts(others(page))).to_have_text([f"number {number}" for number in range(170)])
    expect(first).to_be_visible()


@pytest.mark.slow
def test_in_a_quiet_room_a_page_says_that_nothing_older_is_kept(app: Any, open_page: OpenPage):
    tell(app, "the only one")

    page = open_page(app.url)

    expect(page.locator("#older")).to_have_text("Nothing older is kept.")
    expect(texts(others(page))).to_have_text(["the only one"])
    expect(others(page).locator(".who")).to_have_class(re.compile("visually-hidden"))  # a program has no name


@pytest.mark.slow
def test_who_reads_further_up_stays_where_they_are(app: Any, open_page: OpenPage):
    tell(app, *(f"number {number}" for number in range(60)))
    page = open_page(app.url)
    page.locator("#log").evaluate("log => log.scrollTo(0, 300)")
    expect(texts(others(page)).first).to_have_text("number 0")
    where = top_of_log(page)

    tell(app, *(f"later {number}" for number in range(700)))

    expect(page.get_by_role("button", name="700 new messages")).to_be_visible()
    assert top_of_log(page) == where
    page.get_by_role("button", name="700 new messages").click()
    expect(page.locator(".new")).to_be_in_viewport()
    expect(page.locator(".new")).to_have_text("700 new messages")
    expect(page.locator(".new + .message .text")).to_have_text("later 0")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_ten_thousand_messages_keep_the_document_bounded_even_for_a_reader_who_has_scrolled_up(
    app: Any, open_page: OpenPage
):
    tell(app, *(f"number {number}" for number in range(60)))
    page = open_page(app.url)
    page.locator("#log").evaluate("log => log.scrollTo(0, 800)")

    tell(app, *(f"later {number}" for number in range(10_000)))

    expect(texts(others(page)).last).to_have_text("later 9999", timeout=120_000)  # drawn without a screen
    assert page.locator("#messages > *").count() <= 1_200 + 200 + 10
    page.get_by_role("button", name="new messages").click()
    page.locator("#log").press("End")
    expect(others(page).last).to_be_in_viewport()
    expect(page.locator("#messages > .message")).to_have_count(400)


# What is new


def test_after_a_reconnect_a_mark_stands_above_the_first_that_is_new_and_a_button_leads_there(
    app: Any, open_page: OpenPage
):
    page = open_page(remote(app))
    tell(app, "before")
    expect(texts(others(page))).to_have_text(["before"])

    go_away(page)
    tell(app, *(f"missed {number}" for number in range(40)))
    come_back(page)

    shown = page.get_by_role("button", name="40 new messages")
    expect(shown).to_be_visible()
    expect(page.locator(".new")).to_have_text("40 new messages")
    expect(page.locator(".new")).not_to_be_in_viewport()
    expect(page.get_by_role("status")).to_have_text("40 new messages")
    tell(app, "live")
    expect(texts(others(page)).last).to_have_text("live")
    shown.click()
    expect(page.locator(".new")).to_be_in_viewport()
    expect(shown).to_be_hidden()
    expect(texts(page.locator(".new + .message"))).to_have_text(["missed 0"])
    assert texts(others(page)).all_inner_texts() == ["before", *(f"missed {number}" for number in range(40)), "live"]


@pytest.mark.slow
def test_three_that_were_missed_are_marked_and_the_mark_goes_when_one_answers(app: Any, open_page: OpenPage):
    page = open_page(remote(app))
    say(page, "mine")
    go_away(page)
    tell(app, "one", "two", "three")
    come_back(page)

    expect(page.locator(".new")).to_have_text("3 new messages")
    expect(page.locator("#newest")).to_be_hidden()  # they are in view
    expect(texts(page.locator(".message"))).to_have_text(["mine", "one", "two", "three"])
    say(page, "yes")

    expect(page.locator(".new")).to_have_count(0)


@pytest.mark.slow
def test_what_was_missed_is_counted_together_though_a_frame_is_drawn_after_each(app: Any, open_page: OpenPage):
    page = open_page(remote(app))
    say(page, "mine")
    page.evaluate("() => void (window.requestAnimationFrame = draw => (draw(0), 0))")
    go_away(page)
    tell(app, "one", "two", "three")
    come_back(page)

    expect(texts(page.locator(".message"))).to_have_text(["mine", "one", "two", "three"])
    expect(page.locator(".new")).to_have_text("3 new messages")
    expect(texts(page.locator(".new + .message"))).to_have_text(["one"])


@pytest.mark.slow
def test_a_mark_in_view_while_more_is_to_come_has_not_been_seen_when_that_pushes_it_out(app: Any, open_page: OpenPage):
    page = open_page(remote(app), script=HELD_BACK)
    go_away(page)
    tell(app, *(f"missed {number}" for number in range(40)))
    page.evaluate("() => { passes = 5; }")
    come_back(page)
    expect(page.locator(".new")).to_be_in_viewport()
    page.evaluate("() => new Promise(seen => new IntersectionObserver(seen).observe(document.querySelector('.new')))")
    page.evaluate("() => release()")

    expect(page.locator(".new")).to_have_text("40 new messages")
    expect(page.locator(".new")).not_to_be_in_viewport()
    expect(page.get_by_role("button", name="40 new messages")).to_be_visible()


@pytest.mark.slow
def test_the_title_counts_what_came_while_the_tab_was_hidden(app: Any, open_page: OpenPage):
    page = open_page(app.url)
    expect(page).to_have_title("lobby · signalpost")
    tell(app, "seen")
    expect(texts(others(page))).to_have_text(["seen"])
    hide(page, True)
    tell(app, "one", "two", "three")

    expect(page).to_have_title("(3) lobby · signalpost")
    hide(page, False)

    expect(page).to_have_title("lobby · signalpost")
    expect(page.locator(".new")).to_have_text("3 new messages")
    expect(texts(page.locator(".new + .message"))).to_have_text(["one"])
    tell(app, "seen, too")
    expect(texts(others(page)).last).to_have_text("seen, too")
    expect(page.locator(".new")).to_have_text("3 new messages")
    hide(page, True)
    tell(app, "four")
    expect(page).to_have_title("(1) lobby · signalpost")
    expect(page.locator(".new")).to_have_text("1 new message")
    expect(texts(page.locator(".new + .message"))).to_have_text(["four"])


@pytest.mark.slow
def test_what_is_said_while_one_reads_further_up_is_marked_and_from_the_mark_it_goes_on_to_the_end(
    app: Any, open_page: OpenPage
):
    tell(app, *(f"number {number}" for number in range(50)))
    page = open_page(app.url)
    page.locator("#log").press("Home")
    expect(page.get_by_text("number 0", exact=True)).to_be_in_viewport()
    tell(app, *(f"later {number}" for number in range(40)))

    page.get_by_role("button", name="40 new messages").click()
    expect(page.locator(".new")).to_be_in_viewport()
    expect(page.get_by_role("log")).to_be_focused()
    expect(page.locator("#newest")).to_be_hidden()
    tell(app, "the last")
    page.get_by_role("button", name="41 new messages").click()

    expect(others(page).last).to_be_in_viewport()
    expect(page.locator("#newest")).to_be_hidden()


# What is missing


@pytest.mark.slow
def test_where_something_is_missing_there_is_a_mark_and_nothing_is_loaded_by_itself(
    make_app: Callable[[], Any], open_page: OpenPage
):
    app = make_app()
    file = app.folder / "routes.yaml"
    file.write_text(file.read_text().replace('"keep": 200', '"keep": 5').replace('"replay": 50', '"replay": 5'))
    app.start()
    page = open_page(remote(app))
    tell(app, "before")
    expect(texts(others(page))).to_have_text(["before"])

    go_away(page)
    tell(app, *(f"missed {number}" for number in range(8)))
    come_back(page)

    log = page.locator("#messages > :not(.day)")
    kept = [f"missed {number}" for number in range(3, 8)]
    expect(log).to_have_text(
        [re.compile("before"), re.compile("^Something is missing here"), "5 new messages", *map(re.compile, kept)]
    )


# Times and days


@pytest.mark.slow
def test_days_stand_between_messages_and_times_that_cannot_be_are_not_shown(app: Any, open_page: OpenPage):
    now = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
    tell(
        app,
        {"name": "Ann", "text": "on Friday", "time": "2026-02-27T08:05:00.000Z"},
        {"name": "Ann", "text": "a clock that is wrong", "time": "2001-01-01T00:00:00Z"},
        {"name": "Ann", "text": "late on Sunday", "time": "2026-03-01T23:59:00Z"},
        {"name": "Bob", "text": "today", "time": "2026-03-02T00:10:00Z"},
        {"name": "Bob", "text": "no month", "time": "2026-99-99T99:99:99Z"},
        {"name": "Bob", "text": "soon", "time": "2026-03-02T00:30:30Z"},
        {"name": "Bob", "text": "tomorrow", "time": "2026-03-03T00:30:00Z"},
        "no time",
    )
    page = open_page("about:blank", name=None, timezone_id="Europe/London", locale="en-GB", connected=False)
    page.clock.set_fixed_time(now)
    page.goto(app.url)

    items = page.locator("#messages > *")
    expect(items).to_have_count(11)
    shown = items.evaluate_all(
        "all => all.map(each => each.matches('.day') ? each.textContent : "
        "`${each.querySelector('.text').textContent}, ${each.querySelector('.meta').textContent}`)"
    )
    assert shown == [
        shown[0],
        "on Friday, 08:05",
        "a clock that is wrong, 00:00",
        shown[3],
        "late on Sunday, 23:59",
        shown[5],
        "today, 00:10",
        "no month, earlier",
        "soon, 00:30",
        "tomorrow, earlier",
        "no time, earlier",
    ]
    assert "27 February" in shown[0]
    assert "1 March" in shown[3]
    assert "2 March" in shown[5]


@pytest.mark.slow
def test_what_is_said_in_one_breath_is_named_once_to_the_eye_and_each_time_to_the_ear(app: Any, open_page: OpenPage):
    now = datetime.now(UTC)
    times = [iso(now - timedelta(minutes=minutes)) for minutes in (20, 19, 2)]
    tell(app, *({"name": "Ann", "text": f"at {time}", "time": time} for time in times), {"name": "Bob", "text": "me"})
    page = open_page(app.url)

    expect(others(page).locator(".who bdi")).to_have_text(["Ann", "Ann", "Ann", "Bob"])
    follows = others(page).evaluate_all("all => all.map(each => each.classList.contains('follows'))")
    assert follows == [False, True, False, False]


# Rooms


def test_rooms_are_apart_and_any_other_can_be_gone_to(app: Any, open_page: OpenPage):
    ann, bob = open_page(app.url), open_page(app.url)
    rooms = ann.get_by_role("navigation", name="Rooms").get_by_role("link")
    expect(rooms).to_have_text(["lobby", "tea", "help"])
    expect(rooms.nth(0)).to_have_attribute("aria-current", "page")

    rooms.nth(1).click()
    expect(ann.get_by_role("heading", level=1)).to_have_text("tea")
    expect(ann).to_have_title("tea · signalpost")
    expect(rooms.nth(1)).to_have_attribute("aria-current", "page")
    expect(ann.locator("[aria-current]")).to_have_count(1)
    expect(ann.locator("#state")).to_have_text("Connected")
    say(bob, "in the lobby")
    expect(delivery(own(bob))).to_have_text(["sent"])
    expect(others(ann)).to_have_count(0)

    for page in (ann, bob):
        page.get_by_label("Another room").fill(" Zoë's <b>room<-b>? ")
        page.get_by_label("Another room").press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Zoë's <b>room<-b>?")
        expect(page.get_by_role("navigation", name="Rooms").locator("[aria-current]")).to_have_text(
            "Zoë's <b>room<-b>?"
        )
        expect(page.locator("#state")).to_have_text("Connected")
    say(ann, "found it")
    expect(texts(others(bob))).to_have_text(["found it"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "room", [".", "..", "a/b", "%2e%2e", "//elsewhere.test", "<room>", "\U0001f600", "%", "x" * 90]
)
def test_a_room_of_any_name_is_a_room_or_the_first_one(app: Any, open_page: OpenPage, room: str):
    page = open_page(app.url)
    page.goto(f"{app.url}/?{page.evaluate('room => `${new URLSearchParams({room})}`', room)}")

    expect(page.locator("#state")).to_have_text("Connected")
    expected = "lobby" if "/" in room or room.strip(".") == "" else room[:40]
    expect(page.get_by_role("heading", level=1)).to_have_text(expected)
    say(page, "here")
    expect(delivery(own(page))).to_have_text(["sent"])


@pytest.mark.slow
def test_the_page_works_on_the_other_paths_with_bare_texts(app: Any, open_page: OpenPage):
    page, other = open_page(f"{app.url}/?path=/kept", name=None), open_page(f"{app.url}/?path=/kept")

    say(page, "hello")

    expect(texts(others(other))).to_have_text(["hello"])
    with connect(f"{app.signals_url}/kept", proxy=None) as plain:
        assert plain.recv() == "hello"


# Links


@pytest.mark.slow
def test_addresses_of_the_web_are_links_and_nothing_else_is(app: Any, open_page: OpenPage):
    page = open_page(app.url)
    cases = {
        "see https://example.test/a_b?c=d#e, or not": ["https://example.test/a_b?c=d#e"],
        "(https://en.example.test/wiki/Tea_(drink))": ["https://en.example.test/wiki/Tea_(drink)"],
        "[http://example.test/a]!": ["http://example.test/a"],
        "HTTPS://EXAMPLE.TEST and http://b.test.": ["HTTPS://EXAMPLE.TEST", "http://b.test"],
        "“https://example.test/x”": ["https://example.test/x"],
        "https://exämple.test/ü": ["https://exämple.test/ü"],
        "<a href='https://example.test/'>no</a>": ["https://example.test/"],
        "https://example.test/\u202egpj.exe": ["https://example.test/"],
        "https://example.test\u200b.evil.test": ["https://example.test"],
        "javascript:alert(1)": [],
        "JaVaScRiPt://https:alert(1)": [],
        "data:text/html,<script>1</script>": [],
        "vbscript:x file:///etc/passwd ftp://x.test //x.test www.example.test": [],
        "https:// http://) xhttps://example.test": [],
        "https://[::1": [],
    }
    for text, links in cases.items():
        say(page, text)
        item = own(page).last
        expect(item.locator(".text")).to_have_text(text, use_inner_text=False)
        assert item.locator("a").all_inner_texts() == links
        assert item.locator(".text").evaluate("text => text.textContent") == text
        assert item.locator(".text *:not(a)").count() == 0
    for link in page.locator(".text a").all():
        assert link.get_attribute("rel") == "noopener noreferrer nofollow"
        assert link.get_attribute("target") == "_blank"
        assert link.evaluate("link => new URL(link.href).protocol") in ("http:", "https:")


@pytest.mark.slow
def test_a_long_text_of_brackets_and_addresses_holds_no_page_up(app: Any, open_page: OpenPage):
    page = open_page(f"{app.url}/?path=/any")
    with connect(f"{app.signals_url}/any", proxy=None) as client:
        for text in ("https://x.test/" + ")" * 900_000, "http://" * 100_000, "https://x.test " * 60_000):
            client.send(json.dumps({"message": text}))
        client.send(json.dumps({"message": "the end"}))
        expect(texts(others(page)).last).to_have_text("the end")


@pytest.mark.slow
def test_what_the_server_says_to_everyone_is_read_in_every_room_and_what_others_say_is_not(
    make_app: Callable[[], Any], open_page: OpenPage
):
    app = make_app()
    file = app.folder / "routes.yaml"
    bell = "routes:\n  - {path: /bell, method: POST, broadcast: {value: Ding}}\n"
    file.write_text(file.read_text().replace("routes:\n", bell, 1))
    app.start()
    page = open_page(app.url)

    assert page.evaluate("async () => (await fetch('/bell', {method: 'POST'})).status") == 202

    expect(texts(others(page))).to_have_text(["Ding"])
    with connect(f"{app.signals_url}/elsewhere", proxy=None) as other:
        other.send('{"message": "from nowhere"}')
        other.send('{"message": "in", "path": "/chat/lobby"}')
        other.ping().wait()
    tell(app, "from the room")
    expect(texts(others(page))).to_have_text(["Ding", "from the room"])


# What is hostile

HOSTILE = {
    "<img src=x onerror=window.pwned=1>": "<img src=x onerror=window.pwned=1>",
    "\u202eevil\u202c\u2066": "evil",
    "\u200b\u2060\ufeff": "Somebody",
    "\u3164\u115f": "Somebody",
    "   \t ": "Somebody",
    "a\nb\u0000c": "a bc",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "W" * 40: "W" * 40,
    "e" + "\u0301" * 39: "e" + "\u0301" * 39,
    "__proto__": "__proto__",
}


@pytest.mark.slow
def test_hostile_names_harm_nobody(app: Any, open_page: OpenPage):
    page = open_page(app.url, viewport={"width": 320, "height": 640})
    tell(app, *({"name": name, "text": "hello"} for name in HOSTILE))

    expect(others(page)).to_have_count(len(HOSTILE))
    assert others(page).locator(".who bdi").all_text_contents() == list(HOSTILE.values())
    assert page.evaluate("window.pwned") is None
    boxes = page.locator("body, #log, .track, .bubble")
    wide = boxes.evaluate_all(
        "all => all.filter(each => each.scrollWidth > each.clientWidth).map(each => each.className)"
    )
    assert wide == []
    tall = others(page).evaluate_all("all => all.filter(each => each.offsetHeight > 160).length")
    assert tall == 0


@pytest.mark.slow
def test_hostile_presence_harms_nobody(make_app: Callable[[], Any], open_page: OpenPage):
    app = make_app()
    file = app.folder / "routes.yaml"
    info = '"info": "{{ request.query.info | default(none) and (request.query.info | from_json) }}"'
    text = file.read_text()
    assert text.count('"info": {') == 1
    file.write_text(re.sub(r'"info": \{.*?\}\}\[?[^}]*\}', info, text, count=1))
    app.start()
    values = [
        *({"name": name} for name in HOSTILE),
        *(5, "text", [], {}, {"name": None}, {"name": {"name": "x"}}, {"name": 7}, {"constructor": "x"}),
    ]
    with contextlib.ExitStack() as crowd:
        for value in values:
            url = f"{app.signals_url}/chat/lobby?info={quote(json.dumps(value))}"
            crowd.enter_context(connect(url, proxy=None))
        page = open_page(app.url, viewport={"width": 1000, "height": 640})

        expected = {*HOSTILE.values(), "Somebody"}
        expect(names(page)).to_have_count(len(expected))
        assert set(names(page).locator("bdi").all_text_contents()) == expected
        assert page.evaluate("window.pwned") is None
        assert page.locator("#side").evaluate("side => side.scrollWidth <= side.clientWidth")


@pytest.mark.slow
def test_the_server_takes_no_message_that_is_none_of_the_chats(app: Any):
    refused = [
        {"name": "x" * 41, "text": "a"},
        {"name": "", "text": "a"},
        {"name": "a", "text": ""},
        {"name": "a", "text": "x" * 4097},
        {"text": "a"},
        {"name": "a", "text": "a", "more": 1},
        {"name": "a", "text": "a", "time": "yesterday"},
        {"name": "a", "text": "a", "time": "2026-01-01T00:00:00Z<b>"},
        5,
        None,
        ["a"],
        "",
    ]
    with connect(f"{app.signals_url}/chat/lobby", proxy=None, subprotocols=["signalpost.v1"]) as client:
        for number, value in enumerate(refused):
            client.send(json.dumps({"message": value, "ref": number}))
        answers = read_answers(client, len(refused))
    assert [list(answer) for answer in answers] == [["error"]] * len(refused)


# A restart


def wait_until_kept(app: Any, text: str) -> None:
    """Wait until the history's file has a text: it is written behind."""
    while not any(f'"{text}"'.encode() in file.read_bytes() for file in app.folder.glob("history.db*")):
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_over_a_restart_nothing_is_missing_and_nothing_is_there_twice_on_either_page(
    make_app: Callable[[], Any], open_page: OpenPage, forward: Callable[[str], Any], end: str
):
    app = make_app()
    with (app.folder / "routes.yaml").open("a") as file:
        file.write("history: {file: history.db}\n")
    app.start()
    passed_on = forward(app.url)
    ann, bob = open_page(f"http://127.0.0.1:{passed_on.port}", name="Ann"), open_page(app.url, name="Bob")
    say(ann, "one")
    expect(texts(others(bob))).to_have_text(["one"])  # what two people say at once has no order
    say(bob, "two")
    expect(texts(others(ann))).to_have_text(["two"])

    passed_on.mute()  # what she says next is kept, and she is not told
    say(ann, "three")
    expect(texts(others(bob)).last).to_have_text("three")
    expect(delivery(own(ann)).last).to_have_text("sending")
    say(bob, "four")
    expect(delivery(own(bob)).last).to_have_text("sent")
    if end == "stop":
        passed_on.cut()
        app.stop()
    else:
        wait_until_kept(app, "four")
        app.kill()
        passed_on.cut()
    for page in (ann, bob):
        expect(page.locator(".head")).to_have_attribute("data-state", "waiting")
    say(ann, "five, while nobody was there")
    expect(delivery(own(ann)).last).to_have_text("waiting")
    app.start()
    for page in (ann, bob):
        expect(page.locator("#state")).to_have_text("Connected")
    expect(delivery(own(ann))).to_have_text(["sent"] * 3)
    say(bob, "six")
    expect(texts(ann.locator(".message")).last).to_have_text("six")

    said = ["one", "two", "three", "four", "five, while nobody was there", "six"]
    late = open_page(app.url, name="Eve")
    for page in (ann, bob, late):
        expect(texts(page.locator(".message"))).to_have_text(said)
        expect(page.locator(".gap")).to_have_count(1 if end == "kill" and page is not late else 0)
    expect(texts(own(ann))).to_have_text([said[0], said[2], said[4]])


# By plain HTTP

NO_WEBSOCKETS = """globalThis.WebSocket = class {
    constructor() { setTimeout(() => this.onclose({code: 1006, reason: ""})); }
    close() {}
}"""


@pytest.mark.slow
def test_where_no_websocket_gets_through_the_chat_goes_by_plain_http(make_app: Callable[[], Any], open_page: OpenPage):
    app = make_app()
    file = app.folder / "routes.yaml"
    file.write_text(file.read_text().replace("protocol: http}", "protocol: http, fallbacks: [sse]}"))
    app.start()
    ann = open_page(app.url, name="Ann")
    bob = open_page(app.url, name="Bob", script=NO_WEBSOCKETS)
    say(bob, "by requests")
    say(ann, "by a socket")

    expect(delivery(own(bob))).to_have_text(["sent"])
    expect(texts(others(bob))).to_have_text(["by a socket"])
    expect(texts(others(ann))).to_have_text(["by requests"])
    expect(names(ann)).to_have_text([re.compile("^Ann"), "Bob"])


# For everyone


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_small_phone_everything_fits_and_is_found_by_keyboard_and_thumb(
    app: Any, open_page: OpenPage, scheme: str
):
    tell(app, {"name": "W" * 40, "text": "w" * 300}, {"name": "Ann", "text": "https://example.test/" + "x" * 200})
    page = open_page(app.url, name="M" * 40, viewport={"width": 320, "height": 568}, color_scheme=scheme)
    expect(others(page)).to_have_count(2)
    keyboard = page.keyboard
    expect(page.locator("#side")).to_be_hidden()

    page.get_by_role("button", name="Rooms").focus()
    keyboard.press("Enter")
    expect(page.get_by_role("complementary")).to_be_visible()
    expect(names(page)).to_have_count(1)
    touched = page.locator("button:visible, input:visible, textarea:visible, .rooms a")
    small = touched.evaluate_all("all => all.filter(each => each.offsetHeight < 40).map(each => each.outerHTML)")
    assert small == []
    keyboard.press("Escape")
    expect(page.locator("#side")).to_be_hidden()
    expect(page.get_by_role("button", name="Rooms")).to_be_focused()
    overflowing = page.locator("body, .head, .log, .track, .bubble, .composer, .side").evaluate_all(
        "elements => elements.filter(each => each.scrollWidth > each.clientWidth).map(each => each.className)"
    )
    assert overflowing == []
    page.get_by_role("button", name="Rooms").click()
    page.get_by_role("button", name="Change name").click()
    expect(page.locator("#side")).to_be_hidden()
    expect(page.get_by_label("Your name")).to_be_focused()
    assert page.locator("body").evaluate("body => body.scrollWidth") <= 320


@pytest.mark.slow
def test_the_first_tab_leads_past_everything_to_where_one_writes(app: Any, open_page: OpenPage):
    page = open_page(app.url, has_touch=True, is_mobile=True)  # where the page does not go there by itself

    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Write a message")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_be_focused()


@pytest.mark.slow
def test_what_is_old_is_not_read_out_and_states_are_said_once(app: Any, open_page: OpenPage):
    tell(app, "old")
    page = open_page("about:blank", name=None, connected=False)
    page.add_init_script(
        """document.addEventListener("DOMContentLoaded", () => {
            window.heard = [];
            const status = document.querySelector("#status"), log = document.querySelector("#log");
            new MutationObserver(() => heard.push(status.textContent)).observe(status, {childList: true});
            new MutationObserver(changes => changes.forEach(({addedNodes}) => addedNodes.forEach(node =>
                node.matches?.(".message") && log.getAttribute("aria-live") !== "off"
                    && heard.push(node.querySelector(".text").textContent)
            ))).observe(document.querySelector("#messages"), {childList: true});
        })"""
    )
    page.goto(remote(app))
    expect(texts(others(page))).to_have_text(["old"])
    expect(page.locator("#log")).not_to_have_attribute("aria-live", "off")
    tell(app, "new")
    expect(texts(others(page))).to_have_text(["old", "new"])
    go_away(page)
    come_back(page)

    assert page.evaluate("heard") == ["Connected", "new", "Offline", "Connected"]
    expect(page.get_by_role("log", name="Messages")).to_be_visible()
    expect(page.get_by_role("status")).to_have_count(1)


@pytest.mark.slow
def test_whoever_wants_no_motion_has_none(app: Any, open_page: OpenPage):
    page = open_page(app.url, reduced_motion="reduce")
    tell(app, "still")
    assert others(page).evaluate("each => getComputedStyle(each).animationName") == "none"


@pytest.mark.slow
def test_the_page_makes_no_markup_of_anything():
    for file in (Path(__file__).parents[2] / "web").glob("*.js"):
        assert not re.search(r"(inner|outer|Adjacent)HTML|document\.write|DOMParser|eval\(", file.read_text()), file


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["{}", "null", "no JSON", '"text"', "[[]]"])
def test_a_browser_that_keeps_something_else_or_nothing_harms_nobody(app: Any, open_page: OpenPage, kept: str):
    page = open_page(app.url, script=f"localStorage.setItem('signalpost.own', {json.dumps(kept)})")
    say(page, "hello")
    expect(delivery(own(page))).to_have_text(["sent"])

    barred = open_page(app.url, name=None, script=NO_STORAGE)
    expect(texts(others(barred))).to_have_text(["hello"])
    barred.get_by_label("Your name").fill("Ann")
    barred.keyboard.press("Enter")
    say(barred, "hello, too")
    expect(delivery(own(barred))).to_have_text(["sent"])


NO_STORAGE = (
    """Object.defineProperty(window, "localStorage", {get() { throw new DOMException("no", "SecurityError"); }})"""
)
