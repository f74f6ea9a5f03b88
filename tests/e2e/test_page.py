"""The chat page in a real browser before a real server."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Error, Locator, Page, expect
from websockets import Subprotocol
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


RUSH_MS = 120_000  # a browser that draws without a screen may draw ten thousand messages slowly


def send_past_the_page(page: Page, url: str, values: list[Any]) -> None:
    """Send messages over a socket that is not the page's own."""
    page.evaluate(
        """([url, values]) => new Promise((resolve, reject) => {
            const socket = new WebSocket(url);
            socket.onerror = () => reject(new Error(`no connection to ${url}`));
            socket.onopen = () => {
                for (const message of values) socket.send(JSON.stringify({message}));
                resolve();
            };
        })""",
        [url, values],
    )


def distance_from_end(page: Page) -> int:
    return page.locator("#log").evaluate("log => Math.round(log.scrollHeight - log.scrollTop - log.clientHeight)")


def test_two_people_see_each_others_messages(app: Any, open_page: OpenPage):
    ann, bob = open_page(app.url), open_page(app.url)

    say(ann, "Is the 8:15 on time?")
    expect(texts(others(bob))).to_have_text(["Is the 8:15 on time?"])
    say(bob, "Two minutes late.")

    for page, mine, theirs in (
        (ann, "Is the 8:15 on time?", "Two minutes late."),
        (bob, "Two minutes late.", "Is the 8:15 on time?"),
    ):
        expect(texts(own(page))).to_have_text([mine])
        expect(delivery(own(page))).to_have_text(["sent"])
        expect(texts(others(page))).to_have_text([theirs])


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/chat/lobby"])
def test_words_said_at_one_time_come_to_one_order_on_all_pages(app: Any, open_page: OpenPage, path: str):
    pages = [open_page(f"{app.url}/?path={path}") for _ in range(3)]
    app.freeze()
    for number, page in enumerate(pages):
        say(page, f"{number}, first")
        say(page, f"{number}, then")
        expect(delivery(own(page))).to_have_text(["sending"] * 2)  # each page shows its own words first

    app.thaw()

    for page in pages:
        expect(page.locator(".message")).to_have_count(6)
        expect(delivery(own(page))).to_have_text(["sent"] * 2)
    first, *rest = (texts(page.locator(".message")).all_inner_texts() for page in pages)
    assert rest == [first, first]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/chat/lobby"])
def test_nobodys_words_are_taken_for_anothers(app: Any, open_page: OpenPage, path: str):
    pages = [open_page(f"{app.url}/?path={path}") for _ in range(3)]
    for round_ in range(4):
        for page in pages:
            say(page, "the same text")
            say(page, f"round {round_}")

    for page in pages:
        expect(page.locator(".message")).to_have_count(24)
        expect(delivery(own(page))).to_have_text(["sent"] * 8)
        expect(others(page)).to_have_count(16)


@pytest.mark.slow
def test_markup_in_a_message_stays_text(app: Any, open_page: OpenPage):
    ann, bob = open_page(app.url), open_page(app.url)
    markup = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>\n<b>&amp;</b>"

    say(ann, markup)

    for message in (own(ann), others(bob)):
        expect(texts(message)).to_have_text([markup])
        expect(message.locator("script, img, b")).to_have_count(0)
    assert [page.evaluate("window.pwned") for page in (ann, bob)] == [None, None]


@pytest.mark.slow
def test_the_browser_itself_refuses_text_as_markup(app: Any, open_page: OpenPage, complaints: list[str]):
    page = open_page(app.url)

    with pytest.raises(Error, match="TrustedHTML"):
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<b>no</b>')")
    assert all("TrustedHTML" in complaint for complaint in complaints)
    complaints.clear()


@pytest.mark.slow
def test_a_refusal_is_shown_at_the_message_that_caused_it(app: Any, open_page: OpenPage):
    ann, bob = open_page(app.url), open_page(app.url)

    say(ann, "before")
    say(ann, "x" * 4097)
    say(ann, "after")

    expect(delivery(own(ann))).to_have_text(["sent", "refused", "sent"])
    expect(ann.locator(".problem")).to_have_count(1)
    expect(own(ann).nth(1).locator(".problem")).to_contain_text("4096")
    expect(texts(others(bob))).to_have_text(["before", "after"])

    own(ann).nth(1).get_by_role("button", name="Edit").click()

    expect(texts(own(ann))).to_have_text(["before", "after"])
    expect(ann.locator("#text")).to_be_focused()
    expect(ann.locator("#text")).to_have_value("x" * 4097)
    expect(ann.locator("#counter")).to_have_text("1 too many")


@pytest.mark.slow
def test_when_the_server_restarts_both_pages_reconnect_and_what_was_written_meanwhile_is_sent(
    app: Any, open_page: OpenPage
):
    ann, bob = (open_page(f"{app.url}/?path=/") for _ in range(2))
    ann.clock.install()
    say(ann, "before")
    expect(others(bob)).to_have_count(1)

    app.stop()
    for page in (ann, bob):
        expect(page.locator(".head")).to_have_attribute("data-state", "waiting")
    say(ann, "meanwhile")
    expect(delivery(own(ann))).to_have_text(["sent", "waiting"])
    # Her time stands still until he is back: what she has to say is heard by those who are there.
    ann.clock.pause_at(datetime.now(UTC) + timedelta(seconds=1))
    app.start()
    # Pressed if it is still there: his page may have come back by itself just now.
    bob.evaluate(
        "() => { const button = document.querySelector('#reconnect'); button.checkVisibility() && button.click() }"
    )

    for page in (bob, ann):  # ann waits for her page to do it by itself
        if page is ann:
            ann.clock.resume()
        expect(page.locator("#state")).to_have_text("Connected", timeout=90_000)
        expect(page.locator(".gap")).to_have_count(1)
    expect(delivery(own(ann))).to_have_text(["sent", "sent"])
    expect(texts(others(bob))).to_have_text(["before", "meanwhile"])
    say(bob, "after")
    expect(texts(others(ann))).to_have_text(["after"])


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/chat/lobby"])
def test_a_message_lost_with_the_server_says_so_and_is_sent_to_the_next_one(app: Any, open_page: OpenPage, path: str):
    page = open_page(f"{app.url}/?path={path}")
    app.freeze()
    say(page, "into the dark")
    expect(delivery(own(page))).to_have_text(["sending"])

    app.kill()
    expect(delivery(own(page))).to_have_text(["not confirmed"])
    app.start()

    expect(page.locator("#state")).to_have_text("Connected")
    expect(texts(own(page))).to_have_text(["into the dark"])
    expect(delivery(own(page))).to_have_text(["sent"])
    expect(others(page)).to_have_count(0)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/chat/lobby"])
def test_a_message_that_nobody_confirms_for_five_minutes_can_be_sent_again(app: Any, open_page: OpenPage, path: str):
    page = open_page(f"{app.url}/?path={path}")
    page.clock.install()
    app.freeze()
    say(page, "into the dark")
    expect(delivery(own(page))).to_have_text(["sending"])
    app.kill()
    expect(delivery(own(page))).to_have_text(["not confirmed"])
    page.clock.run_for(300_000)
    expect(page.locator(".problem")).to_contain_text("it may have arrived or not")

    app.start()
    page.clock.run_for(30_000)
    expect(page.locator("#state")).to_have_text("Connected")
    expect(delivery(own(page))).to_have_text(["not confirmed"])
    own(page).get_by_role("button", name="Send again").click()

    expect(texts(own(page))).to_have_text(["into the dark"])
    expect(delivery(own(page))).to_have_text(["sent"])
    expect(page.locator(".problem")).to_have_count(0)
    expect(others(page)).to_have_count(0)


@pytest.mark.slow
def test_a_message_that_its_path_does_not_echo_is_not_sending_for_ever(app: Any, open_page: OpenPage):
    page = open_page(f"{app.url}/?path=/silent")
    expect(page.get_by_role("heading", level=1)).to_have_text("/silent")

    say(page, "anyone?")

    expect(delivery(own(page))).to_have_text(["no echo"])


@pytest.mark.slow
def test_a_message_that_takes_its_handler_long_is_said_to_be_at_work(app: Any, open_page: OpenPage):
    page = open_page(f"{app.url}/?path=/slow")
    page.clock.install()

    say(page, "take your time")
    expect(delivery(own(page))).to_have_text(["sending"])
    page.clock.fast_forward(6_000)
    expect(delivery(own(page))).to_have_text(["at work"])

    expect(delivery(own(page))).to_have_text(["no echo"])


@pytest.mark.slow
def test_a_page_without_a_network_says_offline_and_comes_back_with_it(app: Any, open_page: OpenPage):
    # By a name that is not the machine's own: localhost is there without any network.
    page = open_page(app.url.replace("127.0.0.1", "signalpost.test"))

    page.context.set_offline(True)
    expect(page.locator("#state")).to_have_text("Offline")
    say(page, "later")
    expect(delivery(own(page))).to_have_text(["waiting"])
    page.context.set_offline(False)

    expect(page.locator("#state")).to_have_text("Connected")
    expect(delivery(own(page))).to_have_text(["sent"])


@pytest.mark.slow
def test_a_path_from_the_address_bar_never_becomes_another_host(app: Any, open_page: OpenPage):
    page = open_page(f"{app.url}/?path=//elsewhere.test/x")

    say(page, "still here")

    expect(delivery(own(page))).to_have_text(["sent"])


@pytest.mark.slow
def test_page_and_signals_may_share_one_port(one_port_app: Any, open_page: OpenPage):
    page = open_page(one_port_app.url)

    say(page, "one port")

    expect(delivery(own(page))).to_have_text(["sent"])


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_works_on_a_small_screen_by_keyboard_alone(app: Any, open_page: OpenPage, scheme: str):
    page = open_page(app.url, viewport={"width": 360, "height": 640}, color_scheme=scheme)
    neighbour = open_page(app.url)
    field, keyboard = page.locator("#text"), page.keyboard
    expect(field).to_be_focused()

    keyboard.type("first line")
    keyboard.press("Shift+Enter")
    keyboard.type("second line")
    keyboard.press("Enter")
    expect(texts(own(page))).to_have_text(["first line\nsecond line"], use_inner_text=True)
    expect(field).to_have_value("")
    say(neighbour, "w" * 500)
    for number in range(20):
        say(neighbour, f"message {number}")
    expect(others(page)).to_have_count(21)

    keyboard.press("Shift+Tab")
    expect(page.get_by_role("log")).to_be_focused()
    keyboard.press("Home")
    expect(others(page).first).to_be_in_viewport()
    say(neighbour, "below")
    newest = page.get_by_role("button", name="1 new message")
    expect(newest).to_be_visible()
    expect(others(page).last).not_to_be_in_viewport()
    keyboard.press("Tab")
    expect(newest).to_be_focused()
    keyboard.press("Enter")
    expect(others(page).last).to_be_in_viewport()
    expect(newest).to_be_hidden()

    keyboard.press("Tab")
    expect(field).to_be_focused()
    keyboard.type("by the button")
    keyboard.press("Tab")
    expect(page.get_by_role("button", name="Send")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keyboard.press("Enter")
    expect(texts(own(page)).last).to_have_text("by the button")
    expect(delivery(own(page)).last).to_have_text("sent")
    overflowing = page.locator("body, .head, .log, .track, .bubble, .composer, .side").evaluate_all(
        "elements => elements.filter(each => each.scrollWidth > each.clientWidth).map(each => each.className)"
    )
    assert overflowing == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_rush_of_messages_keeps_the_end_in_view_and_the_document_small(app: Any, open_page: OpenPage):
    page, rusher = open_page(f"{app.url}/?path=/any"), open_page(app.url)

    # In bursts: a page that is behind for as long as a ping may take is let go, which is not what is tried here.
    for burst in (range(start, start + 1_000) for start in range(0, 10_000, 1_000)):
        send_past_the_page(rusher, f"{app.signals_url}/any", [f"number {number}" for number in burst])
        expect(others(page).last.locator(".text")).to_have_text(f"number {burst[-1]}", timeout=RUSH_MS)
    expect(others(page).last).to_be_in_viewport()
    expect(page.locator("#newest")).to_be_hidden()
    expect(others(page)).to_have_count(400)
    assert distance_from_end(page) <= 1


@pytest.mark.slow
def test_values_that_are_not_text_are_shown_as_data(app: Any, open_page: OpenPage):
    page = open_page(f"{app.url}/?path=/any")
    values = [{"lines": [1, "<b>"]}, 0, {"message": "just this"}]

    send_past_the_page(open_page(app.url), f"{app.signals_url}/any", values)

    expect(texts(others(page))).to_have_text(['{"lines":[1,"<b>"]}', "0", "just this"])


@pytest.mark.slow
def test_the_view_greets_by_name_and_trusts_no_name(app: Any, open_page: OpenPage):
    page = open_page(app.url)

    page.goto(f"{app.url}/hello/%3Cb%3EEve")

    expect(page.get_by_role("heading")).to_have_text("Hello, <b>Eve")
    expect(page).to_have_title("Hello, <b>Eve")


TALK = """
    url => new Promise((resolve, reject) => {
        const socket = new WebSocket(url), read = [];
        socket.onclose = event => reject(new Error(`closed with ${event.code}`));
        socket.onopen = () => {
            for (const text of ["long ".repeat(400), "short", "long ".repeat(400), "end"])
                socket.send(JSON.stringify({message: text, direct: true}));
        };
        socket.onmessage = event => {
            read.push(event.data.length);
            if (event.data === "end") resolve([socket.extensions, read]);
        };
    })
"""


@pytest.mark.slow
def test_a_browser_compresses_and_reads_what_is_compressed(one_port_app: Any, open_page: OpenPage):
    one_port_app.kill()
    file = one_port_app.folder / "routes.yaml"
    file.write_text(file.read_text().replace("protocol: ws}", "protocol: ws, compression: true}"))
    one_port_app.start()
    negotiated, lengths = open_page(one_port_app.url).evaluate(TALK, one_port_app.signals_url + "/")
    assert negotiated == "permessage-deflate; server_no_context_takeover; client_max_window_bits=12"
    assert lengths == [2_000, 5, 2_000, 3]


# Where the socket is


@pytest.mark.slow
def test_a_page_follows_its_socket_to_another_port(app: Any, open_page: OpenPage):
    page = open_page(app.url)

    with page.expect_websocket(lambda opened: opened.url.startswith(f"{app.signals_url}/chat/lobby?")):
        app.move_socket()

    expect(page.locator("#state")).to_have_text("Connected")
    say(page, "still here")
    expect(delivery(own(page))).to_have_text(["sent"])


@pytest.mark.slow
def test_a_page_that_finds_nobody_at_the_port_it_knows_asks_for_another(app: Any, open_page: OpenPage):
    page = open_page(app.url)

    app.kill()  # so that nobody is told anything
    app.move_socket()
    app.start()

    expect(page.locator("#state")).to_have_text("Connected")
    say(page, "still here")
    expect(delivery(own(page))).to_have_text(["sent"])


@pytest.mark.slow
def test_a_page_behind_a_plain_forward_has_its_socket_there_too(
    one_port_app: Any, open_page: OpenPage, forward: Callable[[str], Any]
):
    passed_on = forward(one_port_app.url)

    for host in ("127.0.0.1", "localhost"):
        page = open_page(f"http://{host}:{passed_on.port}")
        say(page, "through the forward")
        expect(delivery(own(page))).to_have_text(["sent"])


# What is remembered

MISSED = "Something is missing here Some of what others wrote meanwhile is not kept any more."


def away(app: Any, path: str) -> str:
    """Return a page's address by a name that the machine needs a network for, so that the page can be offline."""
    return f"{app.url.replace('127.0.0.1', 'signalpost.test')}/?path={path}"


def test_a_page_that_was_away_shows_what_it_has_missed_and_says_nothing_of_it(app: Any, open_page: OpenPage):
    ann, bob = open_page(away(app, "/kept")), open_page(f"{app.url}/?path=/kept")
    say(ann, "before")
    expect(texts(others(bob))).to_have_text(["before"])

    ann.context.set_offline(True)
    expect(ann.locator("#state")).to_have_text("Offline")
    say(bob, "first")
    say(bob, "second")
    expect(delivery(own(bob))).to_have_text(["sent", "sent"])
    ann.context.set_offline(False)

    expect(texts(others(ann))).to_have_text(["first", "second"])
    expect(others(ann).get_by_text("earlier")).to_have_count(2)
    expect(ann.locator(".gap")).to_have_count(0)
    say(bob, "third")
    expect(texts(others(ann))).to_have_text(["first", "second", "third"])
    expect(others(ann).get_by_text("earlier")).to_have_count(2)


@pytest.mark.slow
def test_a_page_that_has_missed_more_than_is_kept_says_so_where_it_is_missing(app: Any, open_page: OpenPage):
    ann, bob = open_page(away(app, "/kept")), open_page(f"{app.url}/?path=/kept")
    say(bob, "before")
    expect(texts(others(ann))).to_have_text(["before"])

    ann.context.set_offline(True)
    expect(ann.locator("#state")).to_have_text("Offline")
    for number in range(7):
        say(bob, f"number {number}")
    expect(delivery(own(bob))).to_have_text(["sent"] * 8)
    ann.context.set_offline(False)

    shown = ann.locator(".message .text, .gap")
    expect(shown).to_have_text(["before", MISSED, "number 4", "number 5", "number 6"])


@pytest.mark.slow
def test_a_page_of_a_path_without_a_history_says_that_what_others_wrote_is_not_there(app: Any, open_page: OpenPage):
    ann, bob = open_page(away(app, "/")), open_page(f"{app.url}/?path=/")

    ann.context.set_offline(True)
    expect(ann.locator("#state")).to_have_text("Offline")
    say(bob, "not for her")
    expect(delivery(own(bob))).to_have_text(["sent"])
    ann.context.set_offline(False)

    expect(ann.locator(".gap")).to_have_text(["Something is missing here What others wrote meanwhile is not kept."])
    expect(others(ann)).to_have_count(0)


@pytest.mark.slow
def test_who_comes_newly_reads_what_was_said_before_and_how_many_are_there(app: Any, open_page: OpenPage):
    ann = open_page(f"{app.url}/?path=/kept")
    for number in range(4):
        say(ann, f"number {number}")
    expect(delivery(own(ann))).to_have_text(["sent"] * 4)

    bob = open_page(f"{app.url}/?path=/kept")

    expect(texts(others(bob))).to_have_text([f"number {number}" for number in range(4)])  # three, and one from before
    expect(others(bob).get_by_text("earlier")).to_have_count(4)
    for page in (ann, bob):
        expect(page.get_by_role("heading", level=1)).to_have_text("/kept")
        expect(page.get_by_role("heading", name="Who is here")).to_contain_text("2")
    say(ann, "live")
    expect(texts(others(bob)).last).to_have_text("live")
    say(bob, "to one who was there from the beginning")
    expect(others(ann)).to_have_count(1)
    expect(others(bob).get_by_text("earlier")).to_have_count(4)
    expect(others(ann).get_by_text("earlier")).to_have_count(0)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "told"), [("/kept", "sent"), ("/", "received")])
def test_a_message_that_was_under_way_when_the_line_broke_arrives_once(
    one_port_app: Any, open_page: OpenPage, forward: Callable[[str], Any], path: str, told: str
):
    passed_on = forward(one_port_app.url)
    ann, bob = (
        open_page(f"http://127.0.0.1:{passed_on.port}/?path={path}"),
        open_page(f"{one_port_app.url}/?path={path}"),
    )
    say(ann, "before")
    expect(delivery(own(ann))).to_have_text(["sent"])

    passed_on.mute()
    say(ann, "into the dark")
    expect(texts(others(bob))).to_have_text(["before", "into the dark"])
    expect(delivery(own(ann))).to_have_text(["sent", "sending"])
    passed_on.cut()

    expect(delivery(own(ann))).to_have_text(["sent", told])
    say(ann, "after")
    expect(texts(others(bob))).to_have_text(["before", "into the dark", "after"])
    expect(texts(own(ann))).to_have_text(["before", "into the dark", "after"])
    expect(others(ann)).to_have_count(0)
    expect(ann.locator(".problem")).to_have_count(0)


@pytest.mark.slow
def test_a_message_that_did_not_arrive_when_the_line_broke_is_sent_again_by_itself(
    one_port_app: Any, open_page: OpenPage, forward: Callable[[str], Any]
):
    passed_on = forward(one_port_app.url)
    ann, bob = open_page(f"http://127.0.0.1:{passed_on.port}"), open_page(one_port_app.url)

    one_port_app.freeze()
    say(ann, "into the dark")
    expect(delivery(own(ann))).to_have_text(["sending"])
    passed_on.cut()
    one_port_app.thaw()

    expect(texts(others(bob))).to_have_text(["into the dark"])
    expect(delivery(own(ann))).to_have_text([re.compile("^(sent|received)$")])
    say(ann, "after")
    expect(texts(others(bob))).to_have_text(["into the dark", "after"])


@pytest.mark.slow
def test_of_two_messages_with_one_text_the_page_knows_its_own_by_its_position(
    one_port_app: Any, open_page: OpenPage, forward: Callable[[str], Any]
):
    passed_on = forward(one_port_app.url)
    ann, bob = open_page(f"http://127.0.0.1:{passed_on.port}/?path=/kept"), open_page(f"{one_port_app.url}/?path=/kept")

    passed_on.mute()
    for page in (bob, ann):
        say(page, "twin")
        expect(bob.locator(".message")).to_have_count(1 if page is bob else 2)
    say(bob, "the end")
    expect(delivery(own(bob))).to_have_text(["sent", "sent"])
    passed_on.unmute()

    expect(texts(ann.locator(".message"))).to_have_text(["twin", "twin", "the end"])
    expect(delivery(own(ann))).to_have_text(["sent"])
    expect(ann.locator(".message").nth(1)).to_have_class(re.compile(r"\bown\b"))


@pytest.mark.slow
def test_a_page_whose_session_is_taken_over_stays_away(app: Any, open_page: OpenPage, browser: Any):
    context = browser.new_context()
    page = context.new_page()
    addresses, sessions = [], []

    def note(opened: Any) -> None:
        addresses.append(opened.url)
        opened.on("framereceived", lambda text: sessions.extend(re.findall(r'"session":"([^"]+)"', text)))

    page.on("websocket", note)
    page.goto(f"{app.url}/?path=/")
    expect(page.locator("#state")).to_have_text("Connected")
    offered = [Subprotocol("signalpost.v1"), Subprotocol(f"signalpost.session.{sessions[0]}")]
    with connect(f"{app.signals_url}/", subprotocols=offered, proxy=None) as other:
        expect(page.locator("#state")).to_have_text("Closed: this session is connected elsewhere")
        page.get_by_role("button", name="Try now").click()
        expect(page.locator("#state")).to_have_text("Connected")
        other.ping().wait()  # it is left alone

    assert len(set(sessions)) == 2
    assert addresses == [f"{app.signals_url}/"] * 2
    context.close()


# What is known of the line


def restart_in_slow_motion(page: Page) -> None:
    """Load the page again with a clock that all its timers go by, the first ones included."""
    page.clock.install()
    page.reload()
    expect(page.locator("#state")).to_have_text("Connected")


@pytest.mark.slow
def test_a_page_on_a_dead_line_says_so_within_a_minute_and_claims_nothing(
    one_port_app: Any, open_page: OpenPage, forward: Callable[[str], Any]
):
    passed_on = forward(one_port_app.url)
    page = open_page(f"http://127.0.0.1:{passed_on.port}")
    head = page.locator(".head")
    restart_in_slow_motion(page)
    say(page, "before")
    expect(delivery(own(page))).to_have_text(["sent"])

    passed_on.stall()
    say(page, "into the dark")
    page.clock.run_for(20_000)
    expect(delivery(own(page))).to_have_text(["sent", "sending"])
    page.clock.run_for(40_000)

    expect(head).not_to_have_attribute("data-state", "connected")
    expect(delivery(own(page))).to_have_text(["sent", "not confirmed"])
    expect(page.get_by_text("no echo")).to_have_count(0)
    assert "The server has it" not in page.content()


@pytest.mark.slow
def test_a_page_on_a_quiet_line_stays_connected(app: Any, open_page: OpenPage):
    page = open_page(f"{app.url}/?path=/silent")
    restart_in_slow_motion(page)
    signs = []
    page.on("websocket", lambda _: signs.append("another socket"))

    for _ in range(30):  # five minutes, in which the server has time to answer
        page.clock.run_for(10_000)
        expect(page.locator("#state")).to_have_text("Connected")
        page.evaluate("async () => (await fetch('/hello/you')).status")

    assert signs == []


@pytest.mark.slow
def test_an_answer_that_is_no_echo_is_enough_to_know_that_all_is_well(app: Any, open_page: OpenPage):
    page = open_page(f"{app.url}/?path=/date")

    say(page, "[date]")

    expect(texts(others(page))).to_have_text(["it is noon"])
    expect(delivery(own(page))).to_have_text(["received"])


@pytest.mark.slow
def test_a_message_that_is_too_long_for_the_server_is_refused_and_what_came_behind_it_is_sent(
    app: Any, open_page: OpenPage
):
    page = open_page(f"{app.url}/?path=/any")
    say(page, "before")
    expect(delivery(own(page))).to_have_text(["sent"])

    page.locator("#text").fill("x" * 1_100_000)
    page.evaluate(
        """() => {
            const form = document.querySelector("#composer"), field = document.querySelector("#text");
            form.requestSubmit();
            field.value = "behind";
            form.requestSubmit();
        }"""
    )

    expect(delivery(own(page))).to_have_text(["sent", "refused", "sent"])
    expect(page.locator(".problem")).to_contain_text("Too long: messages may have at most 1048576 bytes.")
    expect(page.locator(".problem")).not_to_contain_text("may have arrived")
    page.get_by_role("button", name="Edit").click()
    assert len(page.locator("#text").input_value()) == 1_100_000


@pytest.mark.slow
def test_the_page_promises_nothing_about_who_gets_what_is_written(app: Any, open_page: OpenPage):
    for path in ("/", "/silent"):
        page = open_page(f"{app.url}/?path={path}")
        expect(page.locator("#empty")).to_contain_text("routes.yaml says who gets it")
        assert "everyone" not in page.locator("#empty").inner_text()
