"""Bodies as they come, byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.http.body import (
    LONGEST_LINE,
    MOST_CHUNKS,
    MOST_EXTENSIONS,
    MOST_TRAILERS,
    ChunkedBody,
    MalformedBodyError,
    SizedBody,
)

END = b"0\r\n\r\n"


def read_all(data, body=None):
    """Read what is there; give the content, what is left, and whether it is done."""
    body = body or ChunkedBody()
    buffer, content = bytearray(data), bytearray()
    while body.read(buffer, content):
        pass
    return bytes(content), bytes(buffer), body.done


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b"5\r\n[1,2]\r\n" + END, b"[1,2]"),
        (b"1\r\n[\r\n004\r\n1,2]\r\n" + END, b"[1,2]"),
        (b"A\r\n0123456789\r\n" + END, b"0123456789"),
        (b"a\r\n0123456789\r\n000\r\n\r\n", b"0123456789"),
        (b"2;name\r\n{}\r\n" + END, b"{}"),
        (b'2 ; name=value;other="a b"\r\n{}\r\n' + END, b"{}"),
        (b"4\r\na\r\nb\r\n" + END, b"a\r\nb"),
        (b"2\r\n{}\r\n0\r\nX-Sum: 1\r\nEmpty:\r\n\r\n", b"{}"),
        (END, b""),
    ],
)
def test_chunks_are_read_and_what_comes_behind_them_stays(data, content):
    assert read_all(data + b"GET / HTTP/1.1") == (content, b"GET / HTTP/1.1", True)


BAD = {
    "bytes behind a chunk": b"5\r\n[1,2]XX0\r\n\r\n",
    "a chunk that is longer than its size": b"4\r\n[1,2]\r\n" + END,
    "a bare LF behind a chunk": b"5\r\n[1,2]\n" + END,
    "a bare CR behind a chunk": b"5\r\n[1,2]\r0\r\n\r\n",
    "a prefix": b"0x5\r\n[1,2]\r\n" + END,
    "digits of another script": "\uff15\r\n[1,2]\r\n".encode() + END,
    "a sign": b"+5\r\n[1,2]\r\n" + END,
    "a negative size": b"-5\r\n[1,2]\r\n" + END,
    "an underscore": b"0_5\r\n[1,2]\r\n" + END,
    "a blank before the size": b" 5\r\n[1,2]\r\n" + END,
    "a blank behind the size": b"5 \r\n[1,2]\r\n" + END,
    "no size": b"\r\n[1,2]\r\n" + END,
    "a size that no machine has": b"1" + b"0" * 16 + b"\r\n",
    "a bare LF behind the size": b"5\n[1,2]\r\n" + END,
    "a bare LF in an extension": b"5;a\nb\r\n[1,2]\r\n" + END,
    "a bare CR in an extension": b"5;a\rb\r\n[1,2]\r\n" + END,
    "a NUL in an extension": b"5;a\0\r\n[1,2]\r\n" + END,
    "a line without end": b"5;" + b"a" * LONGEST_LINE,
    "a trailer that is no field": b"0\r\nGET / HTTP/1.1\r\n\r\n",
    "a trailer with a blank before its colon": b"0\r\nX : y\r\n\r\n",
    "a trailer that is folded": b"0\r\nX: y\r\n z\r\n\r\n",
    "a bare LF behind the trailers": b"0\r\nX: y\r\n\n",
    "trailers without end": b"0\r\n" + b"X: y\r\n" * (MOST_TRAILERS // 6 + 1),
    "a trailer without end": b"0\r\nX: " + b"y" * MOST_TRAILERS,
    "extensions without end": b"1;%b\r\na\r\n" % (b"e" * 200) * (MOST_EXTENSIONS // 200 + 1) + END,
}


def read_byte_by_byte(body, buffer, data):
    for byte in data:
        buffer.append(byte)
        while body.read(buffer, bytearray()):
            pass


@pytest.mark.parametrize("what", BAD)
def test_what_is_not_of_the_grammar_is_refused_in_one_piece_and_byte_by_byte(what):
    with pytest.raises(MalformedBodyError):
        read_all(BAD[what])
    body, buffer = ChunkedBody(), bytearray()
    with pytest.raises(MalformedBodyError):
        read_byte_by_byte(body, buffer, BAD[what])
    with pytest.raises(MalformedBodyError):  # and stays so
        body.read(buffer, bytearray())


@given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=20),
    st.lists(st.integers(1, 9), min_size=1, max_size=9),
    st.binary(max_size=20),
)
def test_however_a_body_is_cut_the_same_is_read(chunks, cuts, behind):
    data = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + END + behind
    body, buffer, content = ChunkedBody(), bytearray(), bytearray()
    at = turn = 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        buffer += data[at : at + size]
        at, turn = at + size, turn + 1
        while body.read(buffer, content):
            pass
    assert bytes(content) == b"".join(chunks)
    assert bytes(buffer) == behind
    assert body.done
    assert body.length == len(content)


def test_only_so_many_chunks_are_read_before_others_have_their_turn():
    body, buffer, content = ChunkedBody(), bytearray(b"1\r\na\r\n" * (2 * MOST_CHUNKS) + END), bytearray()
    reads = 1
    while body.read(buffer, content):
        assert len(content) <= reads * MOST_CHUNKS
        reads += 1
    assert reads == 3
    assert body.done


def test_the_size_of_a_chunk_counts_before_it_has_come():
    body = ChunkedBody()
    body.read(bytearray(b"ffffff\r\na"), bytearray())
    assert body.length == 0xFFFFFF


def test_a_body_of_a_known_length_ends_there():
    body = SizedBody(5)
    assert read_all(b"[1,", body) == (b"[1,", b"", False)
    assert read_all(b"2]GET", body) == (b"2]", b"GET", True)
