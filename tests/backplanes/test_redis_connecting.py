"""How a node comes to a real Redis, by each form of address; whom it refuses, and in which words."""

import asyncio
import re
from pathlib import Path

import pytest
from redisserver import RedisServer, free_port

from signalpost.backplanes.backplane import Keep, Once, RefusedError
from signalpost.backplanes.redis import RedisBackplane
from signalpost.backplanes.rediserrors import RIGHTS

SCALING = Path(__file__).parents[2] / "core/docs/scaling.md"
KEEP = Keep(100, 60, 600)
SECRET = "s3cret"
PONG = b"+PONG\r\n"


@pytest.fixture
async def speaking():
    """Serve what answers with some bytes, again and again with the last ones; return an address for a backplane."""
    servers = []

    async def speaking(*answers):
        def speak(reader, writer):
            async def run():
                left = list(answers)
                while await reader.read(1000):
                    writer.write(left.pop(0) if len(left) > 1 else left[0])
                writer.close()

            tasks.append(asyncio.ensure_future(run()))

        tasks = []
        server = await asyncio.start_server(speak, "127.0.0.1", 0)
        servers.append((server, tasks))
        return f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield speaking
    for server, tasks in servers:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def refusal(url, **options):
    """Return what the start of a backplane is refused with."""
    with pytest.raises(RefusedError) as raised:
        await RedisBackplane(url, "app", **options).start(None)
    return str(raised.value)


async def ask_all(backplane):
    """Ask for everything once."""
    await backplane.follow(["x"])
    await backplane.publish("x", b"1")
    kept = await backplane.keep("x", b"1", 1, "n1", 1, KEEP, Once("k", 60))
    await backplane.read("x", None, 5)
    await backplane.tops(["x"])
    await backplane.end_epoch("x", kept.epoch, 60)
    await backplane.lease("l", "o", 60)
    await backplane.lease("l", "o", 60)
    await backplane.release("l", "o")
    await backplane.put("t", {"a": b"1"}, 60)
    await backplane.put("t", {"a": None})
    await backplane.get("t")
    await backplane.drop("t")
    await backplane.now()
    backplane.unfollow(["x"])
    await backplane.follow(["y"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"password": SECRET},
        {"user": "signalpost", "password": SECRET},
        {"unix": True},
        {"unix": True, "password": SECRET},
        {"tls": True, "password": SECRET},
    ],
    ids=str,
)
async def test_a_server_is_reached_by_each_form_of_its_address(tmp_path, connect, options):
    with RedisServer(tmp_path, **options) as server:
        backplane, ear = await connect(server, "x")
        await ask_all(backplane)
        assert ear.bodies == [b"1", b"1"]
        await backplane.stop()


async def test_a_user_needs_no_more_rights_than_are_told(server, connect):
    rights = RIGHTS.replace("NAME", "app").split()
    server.ask("ACL", "SETUSER", "default", "reset", "on", "nopass", *rights)
    backplane, _ = await connect(server)
    await ask_all(backplane)


async def test_the_user_of_the_documents_may_do_all_that_is_done_and_touches_nothing_of_other_apps(server, connect):
    rights = re.search(r"^```redis\nuser shop (.*)\n```", SCALING.read_text(), re.MULTILINE)[1]
    server.ask("ACL", "SETUSER", "default", "reset", *rights.replace(">PASSWORD", "nopass").split())
    backplane, _ = await connect(server, name="shop")
    await ask_all(backplane)
    other, _ = await connect(server, name="other")
    for asked in (other.publish("x", b""), other.get("t"), other.follow(["x"]), other.read("x", None, 1)):
        with pytest.raises(RefusedError, match="does not allow it to this user"):
            await asked


async def test_a_right_that_a_user_does_not_have_is_told(server, connect):
    server.ask("ACL", "SETUSER", "default", "-publish", "-hgetall", "resetchannels", "&app:0:x")
    backplane, _ = await connect(server, "x")
    with pytest.raises(RefusedError, match=r"does not allow it to this user.*hgetall"):
        await backplane.get("t")
    with pytest.raises(RefusedError, match=r"does not allow it to this user"):
        await backplane.keep("x", b"", 1, "n1", 1, KEEP)
    with pytest.raises(RefusedError, match="does not allow it to this user"):
        await backplane.follow(["y"])
    assert backplane.connected


async def test_who_may_load_no_scripts_is_told_at_the_start(server):
    server.ask("ACL", "SETUSER", "default", "-script")
    assert "does not allow it to this user" in await refusal(server.url)


@pytest.mark.parametrize(
    ("credentials", "told"),
    [
        ("", "wants a password, and the address has none"),
        (f":{SECRET}-wrong@", "does not know this user or password"),
        (f"nobody:{SECRET}-wrong@", "does not know this user or password"),
    ],
)
async def test_a_wrong_password_is_told_and_not_shown(tmp_path, caplog, credentials, told):
    with RedisServer(tmp_path, password=SECRET) as server:
        text = await refusal(f"redis://{credentials}127.0.0.1:{server.port}")
    assert told in text
    assert SECRET not in text + caplog.text


async def test_a_password_that_a_server_repeats_is_not_shown(speaking):
    url = await speaking(b"-ERR unknown command 'AUTH', with args beginning with: '%s'\r\n" % SECRET.encode())
    text = await refusal(url.replace("//", f"//:{SECRET}@"))
    assert "unknown command 'AUTH', with args beginning with: '***'" in text


async def test_a_database_that_the_server_does_not_have_is_told(server):
    assert "DB index is out of range" in await refusal(f"redis://127.0.0.1:{server.port}/99")


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "is no Redis"),
        ([PONG, b"?\r\n"], "is no Redis"),
        ([PONG, b"*2\r\n$7\r\nversion\r\n$5\r\n6.0.9\r\n"], "is Redis 6.0.9, and signalpost needs 6.2"),
        ([PONG, b"*4\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$4\r\nmode\r\n$8\r\nsentinel\r\n"], "is a Sentinel"),
        ([PONG, b"-ERR unknown command `HELLO`, with args beginning with: \r\n"], "which is of Redis 6.2 or Valkey"),
        ([b"-DENIED Redis is running in protected mode because\r\n"], "takes no connections from elsewhere"),
    ],
)
async def test_what_is_no_redis_or_an_old_one_is_refused(speaking, answers, told):
    assert told in await refusal(await speaking(*answers))


@pytest.mark.parametrize("first", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n"])
async def test_what_is_no_redis_is_refused_where_it_is_shown_a_password(speaking, first):
    url = await speaking(first)
    assert "Redis" in await refusal(url.replace("//", f"//:{SECRET}@"))


async def test_a_cluster_is_refused(tmp_path):
    with RedisServer(tmp_path, cluster_enabled="yes", cluster_port=free_port()) as server:
        assert "is a Redis Cluster" in await refusal(server.url)


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    with RedisServer(tmp_path, tls=True) as server:
        text = await refusal(server.url.partition("?")[0])
    assert "certificate that cannot be trusted" in text
    assert "SSL_CERT_FILE" in text


async def test_a_certificate_is_trusted_that_the_environment_names(tmp_path, connect, monkeypatch):
    with RedisServer(tmp_path, tls=True) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
        backplane, _ = await connect(server.url.partition("?")[0])
        assert backplane.connected
        await backplane.stop()


@pytest.mark.parametrize("credentials", ["", f":{SECRET}@"])
async def test_a_server_with_too_many_clients_is_tried_again(tmp_path, connect, until, credentials):
    with RedisServer(tmp_path, password=SECRET if credentials else "") as server:
        with server.client() as client:
            client.config_set("maxclients", 2)
            backplane, ear = await connect(server)
            assert "as many clients as it takes" in ear.why[0]
            client.config_set("maxclients", 100)
            await until(lambda: backplane.connected)
        await backplane.stop()


async def test_tls_where_there_is_none_and_none_where_there_is_some_are_guessed(server, tmp_path, connect):
    _, ear = await connect(server.url.replace("redis:", "rediss:"), silence=0.2)
    assert "does not answer; does it speak TLS?" in ear.why[0]
    with RedisServer(tmp_path, tls=True) as secure:
        backplane, ear = await connect(secure.url.replace("rediss:", "redis:").partition("?")[0])
        assert "does it want TLS (rediss://)?" in ear.why[0]
        await backplane.stop()


async def test_an_answer_that_is_no_tls_is_refused(speaking):
    url = await speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert "could not agree on TLS" in await refusal(url.replace("redis:", "rediss:"))
