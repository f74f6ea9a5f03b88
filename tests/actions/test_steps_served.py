"""Lists of actions in a routes.yaml, on a real server with real clients."""

import pytest

from signalpost.testing import serve

LIVE = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\n"


@pytest.fixture
def live():
    """Serve signals, given as YAML."""
    return lambda signals, **options: serve(LIVE + signals, **options)


async def test_a_step_broadcasts_a_fixed_value_to_everyone_in_place_of_the_message(live):
    async with (
        live('signals: [{path: /, do: [{broadcast: {value: "fixed"}}]}]') as app,
        app.connect("/") as ada,
        app.connect("/other") as bob,
    ):
        await ada.send("hello")
        assert (await ada.receive(), await bob.receive()) == ("fixed", "fixed")
