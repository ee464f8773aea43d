"""A server for LCM's tcpq:// (its own is in Java): hands every message to all that have subscribed to its channel.

usage: queue_server.py PORT
"""

from __future__ import annotations

import select
import socket
import struct
import sys


class QueueServer:
    """Takes of regular expressions `re.escape`d names only."""

    SERVER, VERSION = 0x287617FA, 0x0100
    PUBLISH, SUBSCRIBE = 1, 2

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self._clients: dict[socket.socket, set[str]] = {}

    def serve(self) -> None:
        """Until the program is ended."""
        print("ready", flush=True)
        while True:
            for ready in select.select([self._listener, *self._clients], [], [])[0]:
                if ready is self._listener:
                    client, _ = ready.accept()
                    self._take(client, 8)
                    client.sendall(struct.pack(">II", self.SERVER, self.VERSION))
                    self._clients[client] = set()
                elif not self._serve(ready):
                    del self._clients[ready]
                    ready.close()

    def _take(self, client: socket.socket, count: int) -> bytes:
        return client.recv(count, socket.MSG_WAITALL)

    def _serve(self, client: socket.socket) -> bool:
        head = self._take(client, 8)
        if len(head) < 8:
            return False
        kind, length = struct.unpack(">II", head)
        channel = self._take(client, length)
        if kind == self.PUBLISH:
            size = self._take(client, 4)
            packet = head + channel + size + self._take(client, struct.unpack(">I", size)[0])
            for other, channels in self._clients.items():
                if channel.decode() in channels:
                    other.sendall(packet)
        elif kind == self.SUBSCRIBE:
            self._clients[client].add(channel.decode().replace("\\", ""))
        return True


if __name__ == "__main__":
    QueueServer(int(sys.argv[1])).serve()
