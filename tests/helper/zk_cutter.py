"""A ZooKeeper behind a wire that breaks at the worst moment.

    with Cutter(zk.port, cuts) as wire:
        ... wire.connect ...

`cuts` is asked at each request of a client, cuts(connection, request), with
their numbers from 0 (the request that begins the session counts), and says
what becomes of it: None: it is passed on; LOST: it is passed on, and the
connection breaks when its answer comes; BEFORE: the connection breaks in its
place. wire.cut counts what was done.
"""

import collections
import socket
import struct
import threading

LOST, BEFORE = "lost", "before"
PING_XID = -2
CONNECT_SECONDS = 5


class Cutter:
    def __init__(self, to_port, cuts):
        self.to_port, self.cuts = to_port, cuts
        self.lock = threading.Lock()
        self.cut = collections.Counter()
        self.connections = 0
        self.open = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def connect(self):
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()
        with self.lock:
            left = list(self.open)
        for s in left:
            _end(s)

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                number = self.connections
                self.connections += 1
            threading.Thread(target=self._serve, args=(client, number),
                             daemon=True).start()

    def _serve(self, client, number):
        try:
            server = socket.create_connection(
                ("127.0.0.1", self.to_port), CONNECT_SECONDS)
            server.settimeout(None)
        except OSError:
            client.close()
            return
        with self.lock:
            self.open |= {client, server}
        awaited = []  # the number of the request whose answer is lost
        back = threading.Thread(target=self._answers,
                                args=(client, server, awaited), daemon=True)
        back.start()
        try:
            self._requests(client, server, number, awaited)
        except (OSError, EOFError):
            pass
        _end(server)
        back.join()
        _end(client)
        with self.lock:
            self.open -= {client, server}
        client.close()
        server.close()

    def _requests(self, client, server, number, awaited):
        n = 0
        while True:
            frame = _read_frame(client)
            xid, = struct.unpack_from(">i", frame, 4)
            if n > 0 and xid == PING_XID:
                server.sendall(frame)
                continue
            how = self.cuts(number, n)
            if how is not None:
                with self.lock:
                    self.cut[how] += 1
            if how == BEFORE:
                return
            if how == LOST:
                awaited.append(None if n == 0 else xid)
            server.sendall(frame)
            n += 1

    @staticmethod
    def _answers(client, server, awaited):
        is_first = True
        try:
            while True:
                frame = _read_frame(server)
                xid, = struct.unpack_from(">i", frame, 4)
                if awaited and awaited[0] == (None if is_first else xid):
                    break
                is_first = False
                client.sendall(frame)
        except (OSError, EOFError):
            pass
        _end(client)


def _end(s):
    try:
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _read_frame(s):
    head = _read(s, 4)
    return head + _read(s, struct.unpack(">i", head)[0])


def _read(s, count):
    data = b""
    while len(data) < count:
        piece = s.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
