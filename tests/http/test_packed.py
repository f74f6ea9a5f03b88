"""Files for clients that take gzip: compressed once, under an entity tag of their own."""

import pytest

from signalpost.http.packed import MOST_KEPT, Packed, takes_gzip

TEXT = b"all work and no play " * 200


@pytest.fixture
async def site(serve, rule, write):
    write("web/page.html", TEXT)
    write("web/small.txt", b"small")
    write("web/photo.png", TEXT)
    page = write("web/app.js", TEXT)
    return await serve(rule("/web", static=page.parent), rule("/file", file=page))


def asking(coding, **headers):
    return {"accept-encoding": coding, **headers}


@pytest.mark.parametrize("path", ["/web/page.html", "/web/app.js", "/file"])
async def test_a_text_file_is_compressed_for_who_takes_it_and_for_nobody_else(site, path):
    packed = await site.client.get(path, headers=asking("br, gzip"))
    assert (packed.headers["content-encoding"], packed.content) == ("gzip", TEXT)
    assert int(packed.headers["content-length"]) < len(TEXT) // 10
    plain = await site.client.get(path, headers=asking("identity"))
    assert ("content-encoding" in plain.headers, plain.content) == (False, TEXT)
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"


@pytest.mark.parametrize("path", ["/web/small.txt", "/web/photo.png"])
async def test_what_would_not_become_much_smaller_is_sent_as_it_is(site, path):
    answer = await site.client.get(path, headers=asking("gzip"))
    assert not {"content-encoding", "vary"} & set(answer.headers)


async def test_a_part_of_a_file_is_not_compressed(site):
    answer = await site.client.get("/file", headers=asking("gzip", range="bytes=4-7"))
    assert (answer.status_code, answer.content, "content-encoding" in answer.headers) == (206, b"work", False)


async def test_who_has_the_compressed_file_is_told_so_and_head_says_its_length(site):
    got = await site.client.get("/file", headers=asking("gzip"))
    again = await site.client.get("/file", headers=asking("gzip", **{"if-none-match": got.headers["etag"]}))
    assert (again.status_code, again.headers["etag"]) == (304, got.headers["etag"])
    head = await site.client.head("/file", headers=asking("gzip"))
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_a_file_that_has_changed_is_compressed_anew(site, write):
    await site.client.get("/file", headers=asking("gzip"))
    write("web/app.js", TEXT[::-1] + b"longer")
    assert (await site.client.get("/file", headers=asking("gzip"))).content == TEXT[::-1] + b"longer"


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip", True),
        ("br;q=1, GZIP ; q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0.001", True),
        ("*", False),
        ("", False),
        ("gzipped", False),
    ],
)
def test_a_client_takes_gzip_if_it_says_so(accepted, taken):
    assert takes_gzip(accepted) is taken


def test_compressed_files_are_kept_up_to_a_bound_and_the_oldest_go(tmp_path):
    packed, third = Packed(), bytes(MOST_KEPT // 3)
    for number in range(3):
        packed.keep(tmp_path / str(number), "tag", third)
    packed.find(tmp_path / "0", "tag")
    packed.keep(tmp_path / "3", "tag", third)
    assert [packed.find(tmp_path / str(number), "tag") is not None for number in range(4)] == [True, False, True, True]
    assert packed.find(tmp_path / "0", "other") is None
