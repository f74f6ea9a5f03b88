"""The apps of `signalpost new --from`, each before a real server and in a real browser: its page, from end to end."""

import json
import re
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from signalpost.cli.new import DEMO, starters

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

OpenPage = Callable[..., Page]
NAMES = [name for name in starters() if name != DEMO]


def say(page: Page, text: str) -> None:
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")


def post(url: str, body: Any) -> int:
    asked = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked) as answer:
        return answer.status


def test_everyone_sees_a_vote_and_may_change_theirs(starter: Any, open_page: OpenPage):
    app = starter("poll")
    ann, bob = open_page(app.url), open_page(app.url)
    expect(bob.locator("#total")).to_have_text("Nobody has voted yet.")

    ann.get_by_role("button", name="Tea").click()
    bob.get_by_role("button", name="Tea").click()
    for page in (ann, bob):
        expect(page.locator("#total")).to_have_text("2 votes.")
        expect(page.get_by_role("button", name="Tea")).to_have_attribute("aria-pressed", "true")
    bob.get_by_role("button", name="Water").click()

    for page in (ann, bob):
        expect(page.locator(".choice .figures")).to_have_text(["1 · 50 %", "0 · 0 %", "1 · 50 %"])
    expect(bob.get_by_role("button", name="Tea")).to_have_attribute("aria-pressed", "false")


@pytest.mark.slow
def test_a_figure_that_is_sent_without_a_websocket_is_drawn_without_one_and_again_after_a_restart(
    starter: Any, open_page: OpenPage
):
    app = starter("figures")
    page = open_page(app.url)
    orders = page.locator(".figure", has_text="orders").locator(".value")

    assert post(f"{app.url}/figures", {"message": {"name": "orders", "value": 12}}) == 202
    expect(orders).to_have_text("12")
    app.stop()
    expect(page.locator("#state")).to_have_text("Connecting")
    app.start()
    expect(page.locator("#state")).to_have_text("Connected")
    assert post(f"{app.url}/figures", {"message": {"name": "orders", "value": 14}}) == 202

    expect(orders).to_have_text("14")


@pytest.mark.slow
def test_a_figure_that_a_program_posts_is_drawn_on_every_screen_and_shown_to_those_who_come_later(
    starter: Any, open_page: OpenPage
):
    app = starter("dashboard")
    page = open_page(app.url)
    expect(page.locator(".figure .name").first).to_have_text("load")  # the timer's

    assert post(f"{app.url}/figures", {"name": "orders.today", "value": 12}) == 202
    assert post(f"{app.url}/figures", {"name": "orders.today", "value": 14.5}) == 202

    orders = page.locator(".figure", has_text="orders.today")
    expect(orders.locator(".value")).to_have_text("14.5")
    expect(orders.locator(".change")).to_have_text("▲ 2.5")
    expect(orders.locator("polyline")).to_have_attribute("points", re.compile(r"^0\.00,37\.00 100\.00,3\.00$"))
    later = open_page(app.url).locator(".figure", has_text="orders.today")
    expect(later.locator(".value")).to_have_text("14.5")


@pytest.mark.slow
def test_the_relay_shows_what_the_other_server_sends(starter: Any, open_page: OpenPage):
    page = open_page(starter("relay").url)
    expect(page.locator(".price .symbol")).to_have_text(["OIL", "TEA", "TIN"])
    expect(page.locator(".price .figure").first).to_have_text(re.compile(r"^\d+$"))
    expect(page.locator(".price polyline").first).to_have_attribute("points", re.compile(r"^\S+ \S+"))


@pytest.mark.slow
def test_the_ticker_draws_one_price_after_the_other(starter: Any, open_page: OpenPage):
    page = open_page(starter("ticker").url)
    expect(page.locator("#symbol")).to_have_text("SGNL")
    expect(page.locator("#price")).to_have_text(re.compile(r"^\d+$"))
    expect(page.locator("polyline")).to_have_attribute("points", re.compile(r"^\S+ \S+ \S+"))
    expect(page.locator("#range")).to_have_text(re.compile(r"^Lowest \d+, highest \d+"))


@pytest.mark.slow
def test_a_private_message_is_on_the_two_pages_that_it_is_for(starter: Any, open_page: OpenPage):
    app = starter("private")
    ada, bob, eve = (open_page(f"{app.url}/?name={name}") for name in ("Ada", "Bob", "Eve"))

    ada.locator("#to").fill("bob")
    ada.locator("#to").press("Enter")
    say(ada, "psst <b>")
    expect(ada.locator(".says.own")).to_have_text(["psst <b>"])
    expect(bob.locator("#peer")).to_have_text("Ada")
    expect(bob.locator(".says:not(.own)")).to_have_text(["psst <b>"])
    say(bob, "what?")
    expect(ada.locator(".says:not(.own)")).to_have_text(["what?"])

    ada.locator("#to").fill("nobody")
    ada.locator("#to").press("Enter")
    say(ada, "hm")
    expect(ada.get_by_role("alert")).to_have_text("nobody is not here")
    expect(eve.locator("#conversation")).to_be_hidden()
    ada.get_by_role("button", name="bob").click()
    expect(ada.locator(".says")).to_have_text(["psst <b>", "what?"])


@pytest.mark.slow
def test_who_has_no_name_is_asked_for_one(starter: Any, browser: Any):
    page = browser.new_page()
    page.goto(starter("private").url)
    expect(page.locator("#state")).to_have_text("Not connected")
    page.locator("#name").fill("Zoë & Co/1")
    page.get_by_role("button", name="Go in").click()
    expect(page.locator("#state")).to_have_text("Connected")
    expect(page.locator("#me")).to_have_text("Zoë & Co/1")
    assert page.url.endswith("/?name=Zo%C3%AB+%26+Co%2F1")
    page.close()


@pytest.mark.slow
def test_a_notice_is_put_up_for_everyone_and_for_those_who_come_later(starter: Any, open_page: OpenPage):
    app = starter("notice")
    page, other = open_page(app.url), open_page(app.url)
    expect(page.locator("#notice-title")).to_have_text("Nothing yet today")

    say(page, "The kettle works: at last")
    for each in (page, other):
        expect(each.locator("#what")).to_have_text("The kettle works: at last")
        expect(each.locator("#notice-title")).to_have_text(re.compile(r"^\w+day, \d"))
    say(other, "It does not")

    expect(page.locator("#what")).to_have_text("It does not")
    expect(page.locator("#list li")).to_have_text([re.compile(r"day: The kettle works: at last$")])
    expect(open_page(app.url).locator("#what")).to_have_text("It does not")


@pytest.mark.slow
def test_names_come_and_go_as_people_do(starter: Any, open_page: OpenPage):
    app = starter("presence")
    ada = open_page(f"{app.url}/?name=Ada")
    expect(ada.locator("#count")).to_have_text("You are alone")

    bob = open_page(f"{app.url}/?name=Bob")
    for page in (ada, bob):
        expect(page.locator("#count")).to_have_text("2 are here")
        expect(page.locator(".person .name")).to_have_text(["Ada", "Bob"])
    bob.reload()
    expect(bob.locator("#count")).to_have_text("2 are here")
    eve = open_page(f"{app.url}/?name=Ada")  # another with her name
    expect(eve.locator(".person .name")).to_have_text(["Ada", "Bob"])
    bob.close()

    expect(ada.locator(".person .name")).to_have_text(["Ada"])


@pytest.mark.slow
def test_the_feed_is_read_by_those_who_come_later_and_by_those_who_were_away(starter: Any, open_page: OpenPage):
    app = starter("feed")
    file = app.folder / "routes.yaml"
    local = "address: 127.0.0.1"
    file.write_text(file.read_text().replace(local, f"{local}, hosts: [signalpost.test]"))
    app.kill()
    app.start()
    page = open_page(app.url.replace("127.0.0.1", "signalpost.test"))
    expect(page.locator("#empty")).to_be_visible()
    say(page, "<b>First</b>")
    expect(page.locator(".item .what")).to_have_text(["<b>First</b>"])
    expect(page.locator("#empty")).to_be_hidden()

    page.context.set_offline(True)
    expect(page.locator("#state")).to_have_text("Offline")
    assert post(f"{app.url}/news", {"title": "Second"}) == 202
    assert post(f"{app.url}/news", {"title": "Third"}) == 202
    page.context.set_offline(False)

    for each in (page, open_page(app.url)):
        expect(each.locator(".item .what")).to_have_text(["Third", "Second", "<b>First</b>"])
        expect(each.locator(".missing")).to_have_count(0)


@pytest.mark.slow
def test_the_feed_says_where_something_may_be_missing_and_repeats_nothing(starter: Any, open_page: OpenPage):
    app = starter("feed")
    page = open_page(app.url)
    say(page, "First")
    expect(page.locator(".item")).to_have_count(1)

    app.kill()
    expect(page.locator("#state")).not_to_have_text("Connected")
    app.start()
    expect(page.locator("#state")).to_have_text("Connected")
    say(page, "Second")

    expect(page.locator(".what, .missing")).to_have_text(["Second", "Something may be missing here.", "First"])


@pytest.mark.slow
def test_people_of_one_room_talk_by_the_names_that_they_take(starter: Any, open_page: OpenPage):
    app = starter("chat")
    ada, bob, eve = open_page(app.url), open_page(f"{app.url}/?room=blue"), open_page(f"{app.url}/?room=red")

    ada.locator("#name").fill("Ada")
    ada.get_by_role("button", name="Take it").click()
    expect(ada.locator(".event").last).to_have_text("You are Ada now")
    say(ada, "hello: all")

    expect(bob.locator(".says .who")).to_have_text(["Ada"])
    expect(bob.locator(".says")).to_have_text(["Adahello: all"])
    expect(ada.locator(".says.own")).to_have_count(1)
    expect(eve.locator(".says")).to_have_count(0)
    expect(eve.get_by_role("link", name="red")).to_have_attribute("aria-current", "page")


@pytest.mark.slow
def test_what_is_shouted_stands_on_the_wall_whoever_posts_it(starter: Any, open_page: OpenPage):
    app = starter("shout")
    page, other = open_page(app.url), open_page(app.url)
    expect(page.locator("#empty")).to_be_visible()

    say(page, "hello")
    expect(other.locator(".shout")).to_have_text(["HELLO!"])
    assert post(f"{app.url}/shout", {"text": "from outside"}) == 202

    for each in (page, other):
        expect(each.locator(".shout")).to_have_text(["FROM OUTSIDE!", "HELLO!"])
        expect(each.locator("#empty")).to_be_hidden()


@pytest.mark.slow
def test_the_bot_tells_the_date_to_all_and_passes_on_all_else(starter: Any, open_page: OpenPage):
    app = starter("date")
    ada, bob = open_page(app.url), open_page(app.url)

    say(ada, "what day is it?")
    ada.get_by_role("button", name="Ask").click()

    for page in (ada, bob):
        expect(page.locator(".says")).to_have_text(["what day is it?", re.compile(r"^\w+day, \d\d \w+ \d{4}$")])
    expect(ada.locator(".says.own")).to_have_text(["what day is it?"])


@pytest.mark.slow
def test_everybody_sees_where_the_others_point_until_they_leave(starter: Any, open_page: OpenPage):
    app = starter("cursors")
    ada, bob = open_page(app.url), open_page(app.url)

    ada.locator("#pad").hover(position={"x": 40, "y": 30})
    bob.locator("#pad").focus()
    bob.keyboard.press("ArrowLeft")

    for page in (ada, bob):
        expect(page.locator(".cursor")).to_have_count(2)
    expect(bob.locator(".cursor", has_text="you")).to_have_attribute("style", re.compile(r"left: 47\.5%; top: 50%"))
    ada.close()
    expect(bob.locator("#count")).to_have_text("One cursor.")


@pytest.mark.slow
def test_the_lobby_shows_the_last_lines_to_those_who_come_later(starter: Any, open_page: OpenPage):
    app = starter("lobby")
    ada = open_page(f"{app.url}/?name=Ada")
    say(ada, "first")
    say(ada, "<i>second</i>")
    expect(ada.locator(".says.own")).to_have_count(2)

    bob = open_page(f"{app.url}/?name=Bob")

    expect(bob.locator(".says")).to_have_text([re.compile(r"^Ada.*first$"), re.compile(r"^Ada.*<i>second</i>$")])
    expect(ada.locator(".event").last).to_have_text("Bob came in")


def sign_in(page: Page, app: Any, name: str, password: str | None = None) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password or app.passwords[name])
    page.get_by_label("Password").press("Enter")


def test_who_signs_in_reads_and_only_editors_write(starter: Any, open_page: OpenPage):
    app = starter("signin")
    ann, bob = open_page(app.url, connected=False), open_page(app.url, connected=False)

    sign_in(ann, app, "ann")
    sign_in(bob, app, "bob")
    for page, name in ((ann, "ann"), (bob, "bob")):
        expect(page.locator("#state")).to_have_text("Connected")
        expect(page.locator("#me")).to_have_text(name)
    expect(bob.locator("#role")).to_have_text("You may read, but not write.")
    expect(bob.locator("#text")).to_be_disabled()
    say(ann, "hello <b>")

    expect(bob.locator(".says")).to_have_text(["annhello <b>"])
    expect(ann.locator(".says.own")).to_have_count(1)
    ann.reload()
    expect(ann.locator(".says.own")).to_have_count(1)  # and she is still signed in
    assert ann.evaluate("document.cookie") == ""


@pytest.mark.slow
def test_who_signs_out_is_asked_for_a_password_again_and_sees_nothing_more(starter: Any, open_page: OpenPage):
    app = starter("signin")
    page = open_page(app.url, connected=False)
    sign_in(page, app, "ann")
    say(page, "mine")
    expect(page.locator(".says")).to_have_count(1)

    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#state")).to_have_text("Not connected")
    expect(page.locator("#signin")).to_be_visible()
    expect(page.locator(".says")).to_have_count(0)
    page.reload()
    expect(page.locator("#signin")).to_be_visible()
    sign_in(page, app, "bob")

    expect(page.locator("#me")).to_have_text("bob")
    expect(page.locator(".says:not(.own)")).to_have_text(["annmine"])


@pytest.mark.slow
def test_a_wrong_password_is_said_beside_the_form(starter: Any, open_page: OpenPage, complaints: list[str]):
    app = starter("signin")
    page = open_page(app.url, connected=False)

    sign_in(page, app, "ann", "wrong")

    expect(page.locator("#why")).to_have_text("Name or password is wrong.")
    expect(page.get_by_label("Password")).to_be_focused()
    assert "401" in complaints.pop()  # the browser's own note
    sign_in(page, app, "ann")
    expect(page.locator("#state")).to_have_text("Connected")


@pytest.mark.slow
def test_who_is_not_known_any_more_signs_in_again_and_what_they_had_written_is_still_there(
    starter: Any, open_page: OpenPage
):
    app = starter("signin")
    page = open_page(app.url, connected=False)
    sign_in(page, app, "ann")
    expect(page.locator("#state")).to_have_text("Connected")
    page.locator("#text").fill("half a sent")

    app.kill()
    page.context.clear_cookies()  # as if the token had ended meanwhile
    app.start()

    expect(page.locator("#why")).to_have_text("Your sign-in has ended. Please sign in again.")
    expect(page.locator("#state")).to_have_text("Not connected")
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.get_by_label("Name")).to_have_value("ann")
    sign_in(page, app, "ann")
    expect(page.locator("#state")).to_have_text("Connected")
    expect(page.locator("#text")).to_have_value("half a sent")


@pytest.mark.slow
def test_who_has_no_role_is_told_so_in_words(starter: Any, open_page: OpenPage):
    app = starter("signin")
    file = app.folder / "routes.yaml"
    text = file.read_text(encoding="utf-8")
    app.kill()
    file.write_text(text.replace("{password: !secret bob, roles: [reader]}", "{password: !secret bob, roles: []}"))
    app.start()
    page = open_page(app.url, connected=False)

    sign_in(page, app, "bob")

    expect(page.locator("#role")).to_contain_text("you may not be here")
    expect(page.locator("#state")).to_contain_text("Closed")
    expect(page.locator("#talking")).to_be_hidden()
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#signin")).to_be_visible()


ASKING_FIRST = ("signin",)
"""Pages that show something else before who is there is known."""
COLOURS = {
    "light": ["rgb(244, 241, 234)", "rgb(28, 37, 33)"],
    "dark": ["rgb(16, 22, 19)", "rgb(233, 230, 220)"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_page_fits_a_phone_by_day_and_night_and_can_be_used_by_thumb_and_keyboard(
    starter: Any, open_page: OpenPage, name: str
):
    app = starter(name)
    phone = {"width": 320, "height": 640}
    page = open_page(f"{app.url}/?name=Ada", viewport=phone, connected=name not in ASKING_FIRST)
    check_page(page)
    if name in ASKING_FIRST:
        sign_in(page, app, "ann")
        expect(page.locator("#state")).to_have_text("Connected")
        check_page(page)


def check_page(page: Page) -> None:
    body = page.locator("body")
    for scheme, colours in COLOURS.items():
        page.emulate_media(color_scheme=scheme)
        seen = "body => [getComputedStyle(body.parentElement).backgroundColor, getComputedStyle(body).color]"
        assert body.evaluate(seen) == colours
    assert body.evaluate("body => body.scrollWidth") <= 320
    touched = page.locator("button:visible, input:visible")
    small = touched.evaluate_all("all => all.filter(each => each.offsetHeight < 44).map(each => each.outerHTML)")
    assert small == []
    unnamed = page.locator("input").evaluate_all("all => all.filter(each => !each.labels.length).map(each => each.id)")
    assert unnamed == []
    if touched.count():
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
