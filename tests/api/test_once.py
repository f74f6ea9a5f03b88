"""What was done once: texts of callers, keys of requests, and what becomes of them in time."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.api import idempotency
from signalpost.api.idempotency import Answered, Idempotency
from signalpost.operations.onces import ONCE_SECONDS, Onces
from signalpost.operations.operation import OperationError


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


async def done(answer):
    return answer


async def failing():
    raise OperationError("unavailable", "away")


class TestOnces:
    async def test_a_text_is_known_for_its_time_and_no_longer(self):
        clock = Clock()
        onces = Onces(clock)
        task = onces.keep("a", done({"matched": 1}))
        assert onces.find("a") is task
        assert await task == {"matched": 1}
        clock.now = ONCE_SECONDS - 1
        assert onces.find("a") is task
        clock.now = ONCE_SECONDS
        assert onces.find("a") is None

    async def test_what_has_failed_may_be_tried_again(self):
        onces = Onces(Clock())
        with pytest.raises(OperationError):
            await onces.keep("a", failing())
        assert onces.find("a") is None
        assert await onces.keep("a", done({})) == {}

    async def test_the_oldest_is_forgotten_for_a_further_one(self):
        onces = Onces(Clock(), most=2)
        for key in "abc":
            await onces.keep(key, done({}))
        assert [onces.find(key) is not None for key in "abc"] == [False, True, True]
        assert len(onces) == 2


class TestIdempotency:
    async def test_a_key_whose_request_is_under_way_is_a_conflict(self):
        known, begun, gate = Idempotency(), asyncio.Event(), asyncio.Event()

        async def slow():
            begun.set()
            await gate.wait()
            return Answered(200, b"{}")

        first = asyncio.create_task(known.answer("shop", "k", b"x", slow))
        await begun.wait()
        with pytest.raises(OperationError) as caught:
            await known.answer("shop", "k", b"x", slow)
        assert caught.value.code == "conflict"
        gate.set()
        assert await first == Answered(200, b"{}")
        assert await known.answer("shop", "k", b"x", slow) == Answered(200, b"{}", again=True)

    async def test_what_was_the_servers_fault_or_broke_off_may_be_tried_again(self):
        known = Idempotency()
        assert (await known.answer("shop", "k", b"x", lambda: done(Answered(503, b"{}")))).status == 503
        with pytest.raises(OperationError):
            await known.answer("shop", "k", b"x", failing)
        assert await known.answer("shop", "k", b"x", lambda: done(Answered(202, b"1"))) == Answered(202, b"1")

    async def test_a_key_is_known_for_a_day(self):
        clock = Clock()
        known = Idempotency(clock)
        await known.answer("shop", "k", b"x", lambda: done(Answered(200, b"1")))
        clock.now = idempotency.KNOWN_SECONDS
        assert await known.answer("shop", "k", b"y", lambda: done(Answered(200, b"2"))) == Answered(200, b"2")

    async def test_what_is_under_way_is_not_forgotten_for_what_comes_later(self, monkeypatch):
        monkeypatch.setattr(idempotency, "MOST_KNOWN", 3)
        known, begun, gate, done_twice = Idempotency(), asyncio.Event(), asyncio.Event(), []

        async def slow():
            begun.set()
            await gate.wait()
            return Answered(200, b"first")

        async def again():
            done_twice.append(True)
            return Answered(200, b"second")

        first = asyncio.create_task(known.answer("shop", "slow", b"x", slow))
        await begun.wait()
        for number in range(9):
            await known.answer("shop", str(number), b"x", lambda: done(Answered(200, b"1")))
        with pytest.raises(OperationError, match="under way"):
            await known.answer("shop", "slow", b"x", again)
        gate.set()
        assert await first == Answered(200, b"first")
        assert await known.answer("shop", "slow", b"x", again) == Answered(200, b"first", again=True)
        assert done_twice == []

    async def test_a_request_is_refused_when_all_that_may_be_known_is_under_way(self, monkeypatch):
        monkeypatch.setattr(idempotency, "MOST_KNOWN", 2)
        known, gate = Idempotency(), asyncio.Event()

        async def slow():
            await gate.wait()
            return Answered(200, b"1")

        under_way = [asyncio.create_task(known.answer("shop", key, b"x", slow)) for key in "ab"]
        await asyncio.sleep(0)
        with pytest.raises(OperationError, match="too many requests") as caught:
            await known.answer("shop", "c", b"x", lambda: done(Answered(200, b"2")))
        assert caught.value.code == "unavailable"
        gate.set()
        await asyncio.gather(*under_way)
        assert await known.answer("shop", "c", b"x", lambda: done(Answered(200, b"2"))) == Answered(200, b"2")

    @pytest.mark.parametrize("key", ["x" * 256, "a\x07b"])
    async def test_a_key_that_is_none_is_refused(self, key):
        with pytest.raises(OperationError) as caught:
            await Idempotency().answer("shop", key, b"x", lambda: done(Answered(200, b"")))
        assert caught.value.code == "bad-request"


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("kl"), st.sampled_from([b"x", b"y"]), st.booleans()),
        max_size=30,
    )
)
def test_each_program_and_key_is_done_once_at_most_whatever_is_repeated(requests):
    ran: list[tuple[str, str]] = []

    async def all_of_them():
        known = Idempotency()
        first: dict[tuple[str, str], bytes] = {}
        for program, key, request, good in requests:
            name = (program, key)

            async def do(name=name, request=request, good=good):
                if good:
                    ran.append(name)
                return Answered(200 if good else 503, request)

            if first.get(name, request) != request:
                with pytest.raises(OperationError, match="used for another request"):
                    await known.answer(program, key, request, do)
                continue
            answer = await known.answer(program, key, request, do)
            assert answer.again == (name in first)
            if good or answer.again:
                assert answer.body == first.setdefault(name, request)

    asyncio.run(all_of_them())
    assert len(ran) == len(set(ran))
