"""What is written to a connection at once."""

from __future__ import annotations

import h11
import pytest

from labelog_server.patience import SMALL, Connection


@pytest.fixture
def connection():
    made = Connection()
    made.receive_data(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert isinstance(made.next_event(), h11.Request)
    return made


def head(*headers: tuple[str, str]) -> h11.Response:
    return h11.Response(status_code=200, headers=headers)


def test_a_head_goes_with_a_small_body(connection):
    assert connection.send(head(("Content-Length", "3"))) == b""
    assert connection.send(h11.Data(data=b"abc")) == b"HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabc"
    assert connection.send(h11.EndOfMessage()) == b""


def test_a_large_body_is_not_copied(connection):
    body = memoryview(bytes(SMALL + 1))
    assert connection.send(head(("Content-Length", str(len(body))))).endswith(b"\r\n\r\n")
    assert connection.send(h11.Data(data=body)) is body


def test_a_head_does_not_wait_where_no_body_is_announced(connection):
    assert connection.send(head(("Content-Type", "text/event-stream"))).endswith(b"\r\n\r\n")
    assert connection.send(h11.Data(data=b"abc")) == b"3\r\nabc\r\n"


def test_an_empty_body_needs_no_waiting(connection):
    assert connection.send(head(("Content-Length", "0"))).endswith(b"\r\n\r\n")
    assert connection.send(h11.EndOfMessage()) == b""


def test_the_head_of_an_answer_to_head_goes_out(connection):
    made = Connection()
    made.receive_data(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    made.next_event()
    sent = made.send(head(("Content-Length", "3"))) + made.send(h11.Data(data=b"")) + made.send(h11.EndOfMessage())
    assert sent == b"HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\n"
