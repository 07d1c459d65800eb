"""A load generator in a process of its own: keep-alive connections, one request under way on each, all answers checked.

Reads a JSON object from standard input: ``port``, ``seconds``, ``connections``, ``requests`` (paths), ``expected``
(for each, the weights that its answer may have). Prints one: requests, errors, wrong, seconds, and latencies.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time

WEIGHT = re.compile(rb'"weight":([0-9.e+-]+)')
VERSION = re.compile(rb'"version":([0-9]+)')


def main() -> None:
    task = json.load(sys.stdin)
    paths = [f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() for path in task["requests"]]
    expected = [{f"{weight:.6f}" for weight in weights} for weights in task["expected"]]
    selector = selectors.DefaultSelector()
    state: dict[socket.socket, list] = {}
    for number in range(task["connections"]):
        connection = socket.create_connection(("127.0.0.1", task["port"]))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        state[connection] = [number * 7919 % len(paths), b"", 0.0]
    begin = time.perf_counter()
    end = begin + task["seconds"]
    for connection, one in state.items():
        one[2] = time.perf_counter()
        connection.sendall(paths[one[0]])
    latencies: list[float] = []
    errors = wrong = 0
    messages: list[str] = []
    versions: set[bytes] = set()
    while state:
        for key, _ in selector.select(timeout=5):
            connection = key.fileobj
            one = state[connection]
            block = connection.recv(1 << 18)
            one[1] += block
            whole = _whole(one[1]) if block else b""
            if block and whole is None:
                continue
            now = time.perf_counter()
            latencies.append(now - one[2])
            if not whole.startswith(b"HTTP/1.1 200"):
                errors += 1
                messages.append(whole[:300].decode("latin-1"))
            else:
                found = WEIGHT.search(whole)
                if found is None or f"{float(found[1]):.6f}" not in expected[one[0]]:
                    wrong += 1
                versions.add(VERSION.search(whole)[1])
            if now >= end or not block:
                selector.unregister(connection)
                connection.close()
                del state[connection]
                continue
            one[0] = (one[0] + 1) % len(paths)
            one[1], one[2] = b"", time.perf_counter()
            connection.sendall(paths[one[0]])
    seconds = time.perf_counter() - begin
    print(
        json.dumps(
            {
                "requests": len(latencies),
                "errors": errors,
                "wrong": wrong,
                "seconds": seconds,
                "versions": len(versions),
                "messages": messages[:3],
                "latencies": sorted(latencies)[:: max(len(latencies) // 2000, 1)],
            }
        )
    )


def _whole(data: bytes) -> bytes | None:
    """The answer, once all of it has come."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    at = data.index(b"content-length:") + 15
    length = int(data[at : data.index(b"\r\n", at)])
    return data if len(data) >= head + 4 + length else None


if __name__ == "__main__":
    main()
