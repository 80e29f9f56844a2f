"""The served bus and its clients, good and bad."""

import socket
import struct
import threading

import can
import pytest

from tristage_ros.simulation.served_bus import ServedBus

MESSAGE = can.Message(timestamp=12.5, arbitration_id=0x2A5, is_extended_id=False, data=bytes(range(8)))


@pytest.fixture
def bus():
    before = set(threading.enumerate())
    bus = ServedBus("127.0.0.1:0")
    yield bus
    bus.shutdown()
    assert set(threading.enumerate()) == before


def join(bus):
    return can.Bus(interface="remote", channel=bus.channel_info)


def receive(client):
    """Return the next frame; clients are served only after their own thread has let them in."""
    message = client.recv(5)
    assert message is not None
    return message


def send_until_received(bus, client):
    while client.recv(0.01) is None:
        bus.send(MESSAGE)


def test_frames_reach_every_client_unchanged(bus):
    with join(bus) as first, join(bus) as second:
        for client in (first, second):
            send_until_received(bus, client)
            while client.recv(0.02) is not None:
                pass
        bus.send(MESSAGE)
        for message in (receive(first), receive(second)):
            assert message.equals(MESSAGE)


def test_clients_hear_each_other_but_not_themselves(bus):
    with join(bus) as first, join(bus) as second:
        for client in (first, second):
            send_until_received(bus, client)
            while client.recv(0.02) is not None:
                pass
        first.send(MESSAGE)
        assert receive(second).equals(MESSAGE)
        assert receive(bus).equals(MESSAGE)
        assert first.recv(0.05) is None


def test_frames_of_clients_arrive_in_order(bus):
    with join(bus) as client:
        for k in range(100):
            client.send(can.Message(arbitration_id=0x155, is_extended_id=False, data=struct.pack(">q", k)))
        assert [struct.unpack(">q", receive(bus).data)[0] for _ in range(100)] == list(range(100))
    assert bus.recv(0) is None


def test_a_client_that_dies_does_not_disturb_the_others(bus):
    with join(bus) as good:
        dying = join(bus)
        send_until_received(bus, dying)
        dying.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        dying.socket.close()  # a reset, as when a process is killed
        for _ in range(3):
            send_until_received(bus, good)


def test_a_client_that_does_not_read_is_cut_off(bus, caplog):
    with join(bus) as good:
        lazy = join(bus)
        send_until_received(bus, lazy)
        lazy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader = threading.Thread(target=lambda: [None for _ in iter(lambda: good.recv(0.5), None)])
        reader.start()
        while "is cut off" not in caplog.text:
            bus.send(MESSAGE)
        reader.join()
        send_until_received(bus, good)
        lazy.socket.close()


def test_a_browser_is_told_what_this_is(bus):
    host, port = bus.channel_info.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"400" in browser.recv(1000).split(b"\r\n")[0]


def test_a_connection_that_says_nothing_does_not_keep_the_bus_from_closing(bus):
    host, port = bus.channel_info.split(":")
    with socket.create_connection((host, int(port))):
        bus.shutdown()
