import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_rehearsal.cloud.balancer.messages import (
    ChunkedBody,
    MessageError,
    SizedBody,
    UnboundedBody,
    parse_request,
    parse_response,
)


def test_request_keeps_its_fields_and_loses_what_is_between_hops():
    head = (
        b"POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: keep-alive\r\n"
        b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: gopher\r\nIdempotency-Key: k"
    )
    request = parse_request(head)
    assert (request.method, request.target, request.host) == (b"POST", b"/a?b=c", b"h")
    assert request.lines == [b"Host: h", b"Content-Length: 3", b"Idempotency-Key: k"]
    assert request.forwarded_for == b"1.2.3.4"
    assert request.keep_alive
    assert request.body.feed(b"abcdef") == 3
    assert request.body.done


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/2",
        b"GET /",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2",
        b"GET / HTTP/1.1\r\nContent-Length: +1",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked",
        b"GET / HTTP/1.1\r\nA: 1\r\n folded",
        b"GET / HTTP/1.1\r\nA : 1",
        b"GET / HTTP/1.1\r\nno colon",
    ],
)
def test_request_that_can_be_read_in_two_ways_is_refused(head):
    with pytest.raises(MessageError):
        parse_request(head)


def test_fields_with_odd_names_are_dropped_when_asked():
    head = b"GET / HTTP/1.1\r\nGood-1: a\r\nBad_Name: b"
    assert parse_request(head, drop_invalid_fields=True).lines == [b"Good-1: a"]
    assert parse_request(head).lines == [b"Good-1: a", b"Bad_Name: b"]


def test_response_without_a_length_ends_with_the_connection():
    response = parse_response(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain", b"GET")
    assert isinstance(response.body, UnboundedBody)
    assert not response.keep_alive


@pytest.mark.parametrize(("status", "method"), [(b"204", b"GET"), (b"304", b"GET"), (b"200", b"HEAD")])
def test_response_that_never_has_a_body(status, method):
    response = parse_response(b"HTTP/1.1 " + status + b" X\r\nContent-Length: 5", method)
    assert isinstance(response.body, SizedBody)
    assert response.body.done


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    trailer=st.booleans(),
    rest=st.binary(max_size=10),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_chunked_body_ends_at_its_end_however_it_is_cut(chunks, trailer, rest, cuts):
    message = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    message += b"0\r\n" + (b"A: 1\r\n" if trailer else b"") + b"\r\n"
    data = message + rest
    body, taken = ChunkedBody(), 0
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in itertools.pairwise(edges):
        taken += body.feed(data[start:end])
        if body.done:
            break
    assert body.done
    assert taken == len(message)


def test_chunk_size_that_is_no_number_is_refused():
    with pytest.raises(MessageError):
        ChunkedBody().feed(b"-1\r\n")
