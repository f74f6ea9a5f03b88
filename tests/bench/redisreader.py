"""What the backplane over Redis costs at a node, beside redis-py's own reader: CPU for what is heard, and for answers.

    python tests/bench/redisreader.py
    python tests/bench/redisreader.py --rounds 5

It starts a redis-server of its own; all figures are microseconds of this process' CPU, the least of some rounds.
"""

import argparse
import asyncio
import math
import multiprocessing
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import redis
import uvloop
from redis.asyncio.connection import Connection

sys.path.insert(0, str(Path(__file__).parents[1] / "backplanes"))

from redisserver import RedisServer

from signalpost.backplanes.backplane import Keep
from signalpost.backplanes.redis import RedisBackplane

HEARD = 60_000
ASKED = 20_000
BODY = b"x" * 200
CHANNEL = "p:/chat"
KEEP = Keep(1_000, 3_600, 86_400)


class Counter:
    """Counts what a backplane hears."""

    def __init__(self):
        self.left = HEARD
        self.done = asyncio.Event()

    def heard(self, *_):
        self.left -= 1
        if not self.left:
            self.done.set()

    heard_kept = heard

    def connected(self):
        pass

    def lost(self, why):
        raise SystemExit(why)


def publish(port, payload):
    """Publish very much, in another process."""
    client = redis.Redis("127.0.0.1", port)
    for _ in range(HEARD // 100):
        with client.pipeline(transaction=False) as pipeline:
            for _ in range(100):
                pipeline.publish(f"app:0:{CHANNEL}", payload)
            pipeline.execute()


class Flood:
    """Publishes while it is entered; ``cpu`` is what each message cost here."""

    def __init__(self, port, payload):
        self._process = multiprocessing.get_context("spawn").Process(target=publish, args=(port, payload))

    async def cost(self, wait):
        begun = time.process_time()
        self._process.start()
        await wait
        cost = (time.process_time() - begun) / HEARD
        self._process.join()
        return cost


async def heard_by_redis_py(port):
    connection = Connection(host="127.0.0.1", port=port, protocol=2)
    await connection.connect()
    await connection.send_command("SUBSCRIBE", f"app:0:{CHANNEL}")
    await connection.read_response()

    async def read():
        left = HEARD
        while left:
            message = await connection.read_response(timeout=math.inf)
            left -= message[0] == b"message"

    cost = await Flood(port, b"\0" + BODY).cost(read())
    await connection.disconnect()
    return cost


async def heard_by_ours(port, payload=b"\0" + BODY):
    backplane, ear = RedisBackplane(f"redis://127.0.0.1:{port}", "app"), Counter()
    await backplane.start(ear)
    await backplane.follow([CHANNEL])
    cost = await Flood(port, payload).cost(ear.done.wait())
    await backplane.stop()
    return cost


async def kept_heard_by_ours(port):
    return await heard_by_ours(port, b"\1abcdef" + bytes(16) + BODY)


def answered_by_redis_py(together):
    """Return what a command costs if so many are under way: a task reads, and a write takes all of them."""

    async def measure(port):
        connection = Connection(host="127.0.0.1", port=port, protocol=2)
        await connection.connect()
        waiting, loop = deque(), asyncio.get_running_loop()

        async def read():
            while True:
                reply = await connection.read_response(timeout=math.inf)
                waiting.popleft().set_result(reply)

        task = loop.create_task(read())
        begun = time.process_time()
        for _ in range(ASKED // together):
            packed, futures = [], []
            for _ in range(together):
                packed += connection.pack_command("PUBLISH", "nobody", BODY)
                futures.append(loop.create_future())
            waiting.extend(futures)
            await connection.send_packed_command(packed)
            await futures[-1]
        cost = (time.process_time() - begun) / ASKED
        task.cancel()
        await asyncio.wait({task})
        await connection.disconnect()
        return cost

    return measure


def answered_by_ours(together, ask=lambda backplane, _: backplane.publish("nobody", BODY)):
    """Return the same of the backplane, with all that its calls do."""

    async def measure(port):
        backplane = RedisBackplane(f"redis://127.0.0.1:{port}", "app")
        await backplane.start(Counter())
        begun = time.process_time()
        for turn in range(ASKED // together):
            calls = [ask(backplane, turn * together + number + 1) for number in range(together)]
            await calls[-1]
        cost = (time.process_time() - begun) / ASKED
        await backplane.stop()
        return cost

    return measure


def keep(backplane, number):
    return backplane.keep(CHANNEL, BODY, 1, "n1", number, KEEP)


CASES = {
    "heard, redis-py": heard_by_redis_py,
    "heard, ours": heard_by_ours,
    "heard and kept, ours": kept_heard_by_ours,
    **{f"published {many} at a time, redis-py": answered_by_redis_py(many) for many in (1, 10, 100)},
    **{f"published {many} at a time, ours": answered_by_ours(many) for many in (1, 10, 100)},
    **{f"kept {many} at a time, ours": answered_by_ours(many, keep) for many in (1, 10, 100)},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    least, at_redis = {}, {}
    for _ in range(rounds):
        for name, measure in CASES.items():
            with tempfile.TemporaryDirectory() as folder, RedisServer(folder) as server:
                cost = uvloop.run(measure(server.port))
                cpu = server.ask("INFO", "cpu")
                calls = HEARD if "heard" in name else ASKED
                spent = (cpu["used_cpu_user"] + cpu["used_cpu_sys"]) / calls
            least[name] = min(cost, least.get(name, cost))
            at_redis[name] = min(spent, at_redis.get(name, spent))
    for name, cost in least.items():
        print(f"{name:34} {cost * 1e6:6.2f} us here {at_redis[name] * 1e6:6.2f} us at Redis")


if __name__ == "__main__":
    main()
