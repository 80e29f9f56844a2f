"""Two machines on one, and what the wire between them does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tristage_ros.simulation.network import Network, Wire, set_wire

ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 5000))
print("up", flush=True)
while True:
    s.sendto(*s.recvfrom(99))
"""
ASK = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.6)
came = 0
for k in range(int(sys.argv[2])):
    began = time.monotonic()
    s.sendto(str(k).encode(), (sys.argv[1], 5000))
    try:
        while s.recv(99) != str(k).encode(): pass
        came, took = came + 1, time.monotonic() - began
    except TimeoutError:
        took = 9.0
print(came, took)
"""


@pytest.fixture
def network():
    if obstacle := Network.obstacle():
        pytest.skip(obstacle)
    made = Network("robot", "host")
    yield made
    made.close()


def test_a_wire_delays_loses_and_is_cut(network: Network) -> None:
    command = network.command("host", [sys.executable, "-c", ECHO])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as echo:

        def ask(wire: Wire, times: int = 1) -> tuple[int, float]:
            set_wire(network.control, wire)
            words = [sys.executable, "-c", ASK, network.addresses["host"], str(times)]
            came, took = subprocess.check_output(network.command("robot", words), text=True).split()
            return int(came), float(took)

        try:
            assert echo.stdout is not None and echo.stdout.readline() == "up\n"
            assert ask(Wire(), 20)[0] == 20
            assert ask(Wire(delay=0.1))[1] > 0.2
            assert ask(Wire(cut=True), 2)[0] == 0
            assert ask(Wire(), 5)[0] == 5
            assert 0 < ask(Wire(loss=0.5), 10)[0] < 10
        finally:
            echo.kill()


def test_a_machine_does_not_see_the_other_ones_shared_memory(network: Network) -> None:
    subprocess.run(network.command("robot", ["touch", "/dev/shm/mine"]), check=True)
    seen = {
        name: subprocess.run(network.command(name, ["test", "-e", "/dev/shm/mine"])).returncode
        for name in network.addresses
    }
    assert seen == {"robot": 0, "host": 1}
