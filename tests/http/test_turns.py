"""How requests take turns: what is counted is how many go in one turn of the loop."""

import asyncio

import pytest

from signalpost.http.turns import LONG, MOST, Turns


class Loop:
    """Turns as the test makes them, and a clock that stands."""

    def __init__(self):
        self.now = 0.0
        self.calls = []
        self.turns = Turns(self.calls.append, lambda: self.now)
        self.gone = []

    def request(self, number, cost=0.0):
        async def run():
            await self.turns.wait()
            self.gone.append(number)
            self.now += cost

        return asyncio.ensure_future(run())

    async def turn(self):
        """Run what was to be called in the next turn, and the tasks that it woke."""
        calls, self.calls[:] = self.calls[:], []
        for call in calls:
            call()
        await asyncio.sleep(0)
        gone, self.gone = self.gone, []
        return gone


@pytest.fixture
def loop():
    return Loop()


async def test_a_turn_takes_so_many_requests_and_the_others_wait_in_their_order(loop):
    requests = [loop.request(number) for number in range(20)]
    await asyncio.sleep(0)
    assert loop.gone == list(range(MOST))
    loop.gone.clear()
    assert await loop.turn() == list(range(MOST, 2 * MOST))
    assert await loop.turn() == list(range(2 * MOST, 20))
    await asyncio.gather(*requests)


async def test_while_few_come_nothing_is_called(loop):
    for number in range(MOST):
        await loop.request(number)
    assert not loop.calls


async def test_the_loop_is_left_alone_when_nobody_waits_any_more(loop):
    requests = [loop.request(number) for number in range(MOST + 1)]
    await asyncio.sleep(0)
    await loop.turn()
    assert not loop.calls
    await asyncio.gather(*requests)


async def test_who_comes_later_does_not_overtake_those_that_wait(loop):
    requests = [loop.request(number) for number in range(2 * MOST + 1)]
    await asyncio.sleep(0)
    loop.gone.clear()
    requests.append(loop.request(99))
    await asyncio.sleep(0)
    assert await loop.turn() == list(range(MOST, 2 * MOST))
    assert await loop.turn() == [2 * MOST, 99]
    await asyncio.gather(*requests)


async def test_requests_that_take_long_go_one_in_a_turn(loop):
    requests = [loop.request(number, 2 * LONG) for number in range(MOST + 30)]
    await asyncio.sleep(0)
    loop.gone.clear()
    counts = []
    while not all(request.done() for request in requests):
        counts.append(len(await loop.turn()))
    assert counts[:5] == [MOST, MOST // 2, MOST // 4, 1, 1]


async def test_requests_that_are_quick_again_go_together_again(loop):
    slow = [loop.request(number, 2 * LONG) for number in range(MOST + 20)]
    while not all(request.done() for request in slow):
        await loop.turn()
    quick = [loop.request(number) for number in range(100)]
    counts = []
    while not all(request.done() for request in quick):
        counts.append(len(await loop.turn()))
    assert MOST in counts


async def test_a_request_that_is_over_before_its_turn_takes_none(loop):
    requests = [loop.request(number) for number in range(MOST + 3)]
    await asyncio.sleep(0)
    loop.gone.clear()
    requests[MOST].cancel()
    await asyncio.sleep(0)
    assert await loop.turn() == [MOST + 1, MOST + 2]
