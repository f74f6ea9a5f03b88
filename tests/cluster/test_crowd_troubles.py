"""Who is present while nodes and the backplane are in trouble: when names go and come back, and what that costs."""

import asyncio

import pytest
from virtualnodes import VirtualApp, run

from signalpost.testing import load_app

BLUE = "/rooms/blue"
ROOMS = """
endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]
signals:
  - {path: "/rooms/<room>", presence: {grace: %s, every: 1ms, most: 100000, info: "{{ request.query.name }}"}}
"""


@pytest.fixture
def tell(tmp_path):
    """Run a story with some nodes: ``tell(story, nodes=2, grace="0")``."""

    def tell(story, *, nodes=2, grace="0"):
        async def begin():
            app = VirtualApp(load_app(ROOMS % grace, tmp_path))
            await story(app, *[await app.start() for _ in range(nodes)])

        run(begin())

    return tell


def now():
    return asyncio.get_running_loop().time()


async def until(condition):
    """Let time pass until something is so; return the seconds that passed."""
    begin = now()
    while not condition():
        assert now() < begin + 60
        await asyncio.sleep(0.01)
    return now() - begin


def tables(app):
    return {name: fields for name, (_, fields) in app.shared.store._tables.items() if fields}


async def settled(client, *users):
    await until(lambda: client.users().keys() == set(users))
    await asyncio.sleep(4)


class TestNodesThatGo:
    @pytest.mark.parametrize("grace", ["0", "1m"])
    def test_names_of_a_crashed_node_stay_for_ten_seconds_at_most(self, tell, grace):
        async def story(app, one, two):
            ann, _ = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(ann, "ann", "bob")
            two.die()
            assert 6.0 <= await until(lambda: "bob" not in ann.users()) <= 10.0

        tell(story, grace=grace)

    def test_one_of_several_nodes_removes_what_a_crashed_one_has_left(self, tell):
        async def story(app, one, two, three):
            ann, cy = await one.connect(user="ann"), await three.connect(user="cy")
            await two.connect(user="bob")
            await two.connect("/rooms/red", user="bob")
            await settled(ann, "ann", "bob", "cy")
            before = [node.backplane.asked["put who"] for node in (one, three)]
            two.die()
            await until(lambda: "bob" not in ann.users() and "bob" not in cy.users())
            await asyncio.sleep(2)
            assert set(tables(app)) == {"nodes", f"who:{BLUE}", f"at:{one.tag}", f"at:{three.tag}"}
            assert not any(two.tag in field for fields in tables(app).values() for field in fields)
            after = [node.backplane.asked["put who"] for node in (one, three)]
            assert sum(after) - sum(before) == 2, "a write for each place, by one of them"

        tell(story, nodes=3)

    def test_a_node_that_begins_cleans_up_after_all_that_have_crashed(self, tell):
        async def story(app, one, two):
            await one.connect(user="ann")
            await two.connect(user="bob")
            await asyncio.sleep(4)
            one.die()
            two.die()
            three = await app.start()
            cy = await three.connect(user="cy")
            assert set(cy.users()) == {"ann", "bob", "cy"}
            assert await until(lambda: set(cy.users()) == {"cy"}) <= 12
            await asyncio.sleep(1)
            assert set(tables(app)) == {"nodes", f"who:{BLUE}", f"at:{three.tag}"}

        tell(story)

    def test_who_goes_from_a_node_that_stops_to_another_one_within_grace_was_never_away(self, tell):
        async def story(app, one, two):
            ann, _ = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(ann, "ann", "bob")
            frames = len(ann.frames())
            await two.stop()
            await asyncio.sleep(4)
            await one.connect(user="bob")
            await asyncio.sleep(20)
            assert len(ann.frames()) == frames
            assert set(tables(app)) == {"nodes", f"who:{BLUE}", f"at:{one.tag}"}

        tell(story, grace="5s")

    def test_who_does_not_come_back_from_a_node_that_stops_has_left_when_grace_is_over(self, tell):
        async def story(app, one, two):
            ann, _ = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(ann, "ann", "bob")
            await two.stop()
            assert 4.9 <= await until(lambda: "bob" not in ann.users()) <= 5.2

        tell(story, grace="5s")

    def test_a_node_that_died_when_the_backplane_was_emptied_leaves_no_ghosts(self, tell):
        async def story(app, one, two, three):
            await two.connect(user="bob")
            await two.connect("/rooms/red", user="bob")
            await asyncio.sleep(4)
            left = tables(app)
            two.die()
            app.shared.wipe()
            for name in (f"who:{BLUE}", "who:/rooms/red", f"at:{two.tag}"):  # as if they were written just then
                app.shared.store.put(name, left[name], None)
            ann = await one.connect(user="ann")
            assert await until(lambda: set(ann.users()) == {"ann"}) <= 10.1
            await asyncio.sleep(2)
            assert set(tables(app)) == {"nodes", f"who:{BLUE}", f"at:{one.tag}"}

        tell(story, nodes=3)

    def test_who_was_not_heard_to_leave_a_node_that_stops_has_its_grace(self, tell):
        async def story(app, one, two):
            ann, _ = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(ann, "ann", "bob")
            frames = len(ann.frames())
            one.backplane.drop_next()
            await two.stop()
            await asyncio.sleep(4)
            await one.connect(user="bob")
            await asyncio.sleep(20)
            assert len(ann.frames()) == frames

        tell(story, grace="5s")

    def test_numbers_of_a_dead_node_are_forgotten(self, tell):
        async def story(app, one, two):
            ann, _ = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(ann, "ann", "bob")
            heard = one.cluster._note_numbers._last[f"p:{BLUE}"]
            assert two.cluster.origin.node in heard
            two.die()
            await until(lambda: "bob" not in ann.users())
            assert two.cluster.origin.node not in heard

        tell(story)


class TestNodesThatAreCutOff:
    def test_others_see_its_people_leave_and_its_own_clients_see_the_others_frozen(self, tell):
        async def story(app, one, two):
            ann, bob = await one.connect(user="ann"), await two.connect(user="bob")
            cy = await one.connect(user="cy")
            await settled(bob, "ann", "bob", "cy")
            two.backplane.cut()
            assert await until(lambda: "bob" not in ann.users()) <= 10.0
            cy.leave()
            await one.connect(user="dan")
            await asyncio.sleep(20)
            assert set(bob.users()) == {"ann", "bob", "cy"}
            two.backplane.heal()
            assert await until(lambda: set(bob.users()) == set(ann.users()) == {"ann", "bob", "dan"}) <= 2.0

        tell(story)

    def test_a_short_cut_is_seen_by_nobody(self, tell):
        async def story(app, one, two):
            ann, bob = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(bob, "ann", "bob")
            frames = len(ann.frames()), len(bob.frames())
            for _ in range(3):
                two.backplane.cut()
                await asyncio.sleep(3)
                two.backplane.heal()
                await asyncio.sleep(7)
            assert (len(ann.frames()), len(bob.frames())) == frames

        tell(story)

    def test_what_happens_during_a_short_cut_is_known_soon_after(self, tell):
        async def story(app, one, two):
            ann, bob = await one.connect(user="ann"), await two.connect(user="bob")
            cy = await two.connect(user="cy")
            await settled(ann, "ann", "bob", "cy")
            two.backplane.cut()
            cy.leave()
            await one.connect(user="dan")
            await asyncio.sleep(3)
            two.backplane.heal()
            assert await until(lambda: set(bob.users()) == set(ann.users()) == {"ann", "bob", "dan"}) <= 2.0

        tell(story)

    def test_a_node_that_stood_still_and_was_taken_for_dead_enters_all_it_has_again(self, tell):
        async def story(app, one, two):
            ann, bob = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(bob, "ann", "bob")
            two.backplane.stall()
            assert await until(lambda: "bob" not in ann.users()) <= 10.0
            await asyncio.sleep(10)
            two.backplane.resume()
            assert await until(lambda: set(bob.users()) == set(ann.users()) == {"ann", "bob"}) <= 2.0
            await asyncio.sleep(5)
            assert tables(app)[f"who:{BLUE}"].keys() == {f"{one.tag} ann", f"{two.tag} bob"}

        tell(story)

    def test_what_was_written_and_not_told_is_read_by_the_others(self, tell):
        async def story(app, one, two):
            ann, _ = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(ann, "ann", "bob")
            await two.connect(user="cy")
            two.crowd._writer._timer.cancel()
            two.crowd._writer._write()
            two.backplane.cut(done=1)
            await asyncio.sleep(6)  # longer than the patience, so the note is given up
            two.backplane.heal()
            assert await until(lambda: "cy" in ann.users()) <= 2.0

        tell(story)

    def test_a_node_has_its_time_again_after_the_reader_was_away(self, tell):
        async def story(app, one, two):
            ann, bob = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(bob, "ann", "bob")
            two.backplane.cut()
            await asyncio.sleep(6)
            one.backplane.cut()
            await asyncio.sleep(10)
            one.backplane.heal()
            await asyncio.sleep(5)
            two.backplane.heal()
            await asyncio.sleep(5)
            assert all("bob" not in frame.get("left", ()) for frame in ann.frames())

        tell(story)

    def test_a_note_that_overtakes_the_answer_of_a_table_is_the_newer_one(self, tell):
        async def story(app, one, two):
            bob = await two.connect(user="bob")
            await asyncio.sleep(4)
            one.backplane.late = 1.0
            coming = asyncio.get_running_loop().create_task(one.connect(user="ann"))
            await asyncio.sleep(0.5)
            bob.leave()
            await two.connect(user="cy")
            ann = await coming
            assert set(ann.users()) == {"ann", "cy"}

        tell(story)

    def test_a_table_is_read_when_what_follows_is_heard(self, tell):
        async def story(app, one, two):
            await two.connect(user="bob")
            await asyncio.sleep(4)
            one.backplane.deaf = 1.0
            coming = asyncio.get_running_loop().create_task(one.connect(user="ann"))
            await asyncio.sleep(0.5)
            await two.connect(user="cy")
            ann = await coming
            assert set(ann.users()) == {"ann", "bob", "cy"}

        tell(story)

    def test_a_missed_note_is_known_by_the_next_one(self, tell):
        async def story(app, one, two):
            ann, _ = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(ann, "ann", "bob")
            one.backplane.drop_next()
            await two.connect(user="cy")
            await asyncio.sleep(0.5)
            assert "cy" not in ann.users()
            await two.connect(user="dan")
            assert await until(lambda: set(ann.users()) == {"ann", "bob", "cy", "dan"}) <= 0.2

        tell(story)

    def test_a_missed_note_is_no_gap_for_clients(self, tell):
        async def story(app, one, two):
            ann, _ = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(ann, "ann", "bob")
            one.backplane.drop_next()
            await two.connect(user="cy")
            await asyncio.sleep(0.5)
            await two.connect(user="dan")
            await settled(ann, "ann", "bob", "cy", "dan")
            assert ann.frames("gap") == []

        tell(story)


class TestBackplanesInTrouble:
    @pytest.mark.parametrize("seconds", [1, 6, 30])
    def test_nobody_sees_that_it_was_away(self, tell, seconds):
        async def story(app, one, two):
            ann, bob = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(bob, "ann", "bob")
            frames = len(ann.frames()), len(bob.frames())
            app.shared.cut()
            await asyncio.sleep(seconds)
            app.shared.heal()
            await asyncio.sleep(30)
            assert (len(ann.frames()), len(bob.frames())) == frames

        tell(story)

    def test_nobody_has_left_because_a_replica_that_lagged_does_not_know_them_yet(self, tell):
        async def story(app, one, two):
            ann, bob = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(bob, "ann", "bob")
            lagging = dict(app.shared.store._tables)
            cy = await two.connect(user="cy")
            await settled(ann, "ann", "bob", "cy")
            app.shared.cut()
            app.shared.store._tables = lagging
            two.backplane.cut()
            app.shared.heal()
            await asyncio.sleep(1)
            two.backplane.heal()
            await asyncio.sleep(5)
            assert all("cy" not in frame.get("left", ()) for frame in ann.frames())
            assert set(ann.users()) == {"ann", "bob", "cy"}
            cy.leave()
            assert await until(lambda: "cy" not in ann.users()) <= 0.2

        tell(story)

    def test_who_has_left_while_it_was_away_and_whom_no_node_enters_again_is_gone_soon(self, tell):
        async def story(app, one, two):
            ann, bob = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(ann, "ann", "bob")
            one.backplane.cut()
            bob.leave()
            await asyncio.sleep(3)
            one.backplane.heal()
            assert 1.4 <= await until(lambda: "bob" not in ann.users()) <= 1.6

        tell(story)

    @pytest.mark.parametrize("seconds", [1, 6, 20])
    def test_nobody_is_dead_because_it_stood_still(self, tell, seconds):
        async def story(app, one, two):
            ann, bob = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(bob, "ann", "bob")
            frames = len(ann.frames()), len(bob.frames())
            app.shared.stall()
            await asyncio.sleep(seconds)
            app.shared.resume()
            await asyncio.sleep(30)
            assert (len(ann.frames()), len(bob.frames())) == frames

        tell(story)

    @pytest.mark.parametrize("seconds", [0, 6])
    def test_nobody_sees_that_it_came_back_empty_and_all_is_entered_again(self, tell, seconds):
        async def story(app, one, two):
            ann, bob = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(bob, "ann", "bob")
            frames, before = (len(ann.frames()), len(bob.frames())), tables(app)
            if seconds:
                app.shared.cut()
                await asyncio.sleep(seconds)
            app.shared.wipe()
            app.shared.heal()
            assert await until(lambda: tables(app).keys() == before.keys()) <= 1.2
            await asyncio.sleep(30)
            assert (len(ann.frames()), len(bob.frames())) == frames
            assert tables(app)[f"who:{BLUE}"] == before[f"who:{BLUE}"]

        tell(story)

    def test_what_happened_while_it_was_away_is_known_within_two_seconds(self, tell):
        async def story(app, one, two):
            ann, bob = await one.connect(user="ann"), await two.connect(user="bob")
            cy = await one.connect(user="cy")
            await settled(bob, "ann", "bob", "cy")
            app.shared.cut()
            cy.leave()
            await asyncio.sleep(20)
            await two.connect(user="dan")
            await asyncio.sleep(0.1)
            assert set(bob.users()) == {"ann", "bob", "cy", "dan"}
            app.shared.heal()
            assert await until(lambda: set(bob.users()) == set(ann.users()) == {"ann", "bob", "dan"}) <= 2.0

        tell(story)

    def test_what_it_did_not_take_is_written_when_it_takes_it(self, tell):
        async def story(app, one, two):
            ann, _ = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(ann, "ann", "bob")
            app.shared.refusal = "no memory left"
            await two.connect(user="cy")
            await asyncio.sleep(5)
            assert "cy" not in ann.users()
            app.shared.refusal = None
            assert await until(lambda: "cy" in ann.users()) <= 2.0
            assert f"{two.tag} cy" in tables(app)[f"who:{BLUE}"]

        tell(story)

    def test_many_users_are_entered_again_in_batches_of_a_thousand(self, tell):
        async def story(app, one):
            for number in range(2_500):
                await one.connect(user=f"u{number}")
            await asyncio.sleep(4)
            asked, fields = one.backplane.asked["put who"], one.backplane.fields
            app.shared.wipe()
            assert await until(lambda: len(tables(app).get(f"who:{BLUE}", ())) == 2_500) <= 1.2
            await asyncio.sleep(1)
            assert one.backplane.asked["put who"] - asked == 3
            assert one.backplane.fields - fields < 2_520

        tell(story, nodes=1)


class TestCosts:
    def test_while_nobody_comes_or_goes_nothing_is_told_or_written(self, tell):
        async def story(app, one, two):
            ann, _ = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(ann, "ann", "bob")
            before = one.backplane.asked.copy()
            await asyncio.sleep(60)
            spent = one.backplane.asked - before
            assert spent.keys() == {"put nodes", "get nodes", "publish"}
            assert spent["put nodes"] <= 20, "a beat every three seconds"

        tell(story)

    def test_whoever_comes_and_goes_makes_ten_notes_a_second_at_most(self, tell):
        async def story(app, one, two):
            await two.connect(user="bob")
            await asyncio.sleep(4)
            before = one.backplane.asked.copy()
            for number in range(500):
                client = await one.connect(user=f"u{number % 7}")
                await asyncio.sleep(0.005)
                client.leave()
                await asyncio.sleep(0.005)
            await asyncio.sleep(1)
            spent = one.backplane.asked - before
            assert spent["note"] == spent["put who"] <= 52

        tell(story)

    def test_clients_of_a_place_that_is_known_already_wait_for_nothing(self, tell):
        async def story(app, one, two):
            await two.connect(user="bob")
            await one.connect(user="ann")
            asked = one.backplane.asked["get who"]
            for number in range(100):
                await one.connect(user=f"u{number}")
            assert one.backplane.asked["get who"] == asked

        tell(story)

    def test_a_place_of_no_use_is_forgotten_and_read_again_when_somebody_comes(self, tell):
        async def story(app, one, two):
            await two.connect(user="bob")
            ann = await one.connect(user="ann")
            await settled(ann, "ann", "bob")
            ann.leave()
            await asyncio.sleep(60)
            assert not one.crowd._places
            assert not one.presence._rooms
            ann = await one.connect(user="ann")
            assert set(ann.users()) == {"ann", "bob"}

        tell(story)


class TestUsersOnSeveralNodes:
    def test_connections_of_a_user_are_added_up(self, tell):
        async def story(app, one, two):
            ann = await one.connect(user="ann")
            more = [await one.connect(user="ann"), await two.connect(user="ann"), await two.connect(user="ann")]
            await until(lambda: ann.users() == {"ann": (4, "")})
            for left, client in zip((3, 2, 1), more, strict=True):
                client.leave()
                await until(lambda left=left: ann.users() == {"ann": (left, "")})

        tell(story)

    def test_all_show_what_the_newest_connection_brought(self, tell):
        async def story(app, one, two):
            ann = await one.connect(user="ann", name="x")
            await asyncio.sleep(1)
            also = await two.connect(user="ann", name="y")
            await until(lambda: ann.users() == also.users() == {"ann": (2, "y")})
            await one.connect(user="ann", name="z")
            await until(lambda: ann.users() == also.users() == {"ann": (3, "z")})

        tell(story)

    def test_who_goes_to_another_node_within_grace_makes_no_difference(self, tell):
        async def story(app, one, two):
            ann, bob = await one.connect(user="ann"), await two.connect(user="bob")
            await settled(ann, "ann", "bob")
            frames = len(ann.frames())
            for node in (one, two, one):
                bob.leave()
                await asyncio.sleep(4)
                bob = await node.connect(user="bob")
                await asyncio.sleep(4)
            assert len(ann.frames()) == frames

        tell(story, grace="5s")
