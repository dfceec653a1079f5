"""A server in front of the sandbox that passes requests on, or answers them
with what no server should.

    with Liar(druid) as front:
        ... front.url ...                     as the Overlord's
        front.lie(liar.redirect(front.url), about="wikipedia")
        front.spoil(liar.cut, path="/druid/worker")
        front.honest()

Places of tasks in the sandbox's answers become the front's, so that pushes
come through it as well. A lie is a function of the request's handler; it
writes what it likes to handler.wfile. It is told to requests whose path or
body has the word `about` in it (a dataSource's name), and whose path begins
with `path`. front.lied counts by that word.
"""

import collections
import http.client
import http.server
import socket
import threading
import time

PIECE = 65536
SECONDS = 60  # no lie goes on for longer


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SECONDS

    def log_message(self, *_):
        pass

    def do_GET(self):
        body = self.request_body = self.rfile.read(
            int(self.headers.get("Content-Length", 0)))
        front = self.server.front
        lie, spoil = front.choose(self.path, body)
        try:
            if lie is not None:
                self.close_connection = True
                lie(self)
                return
            answer = front.ask(self.command, self.path, self.headers, body)
            if spoil is not None:
                self.close_connection = True
                spoil(self, answer)
                return
            self.wfile.write(answer.whole())
        except OSError:
            self.close_connection = True  # the client has gone, or druid

    do_POST = do_GET


class Answer:
    def __init__(self, status, content_type, body):
        self.status, self.content_type, self.body = status, content_type, body

    def head(self, length=None):
        length = len(self.body) if length is None else length
        return (f"HTTP/1.1 {self.status} X\r\nContent-Type: "
                f"{self.content_type}\r\nContent-Length: {length}\r\n\r\n"
                ).encode()

    def whole(self):
        return self.head() + self.body


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class Liar:
    def __init__(self, druid):
        self.druid = druid
        self.lock = threading.Lock()
        self.honest()
        self.lied = collections.Counter()
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.front = self
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       kwargs={"poll_interval": 0.05})
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.honest()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def lie(self, lie, about="", path="/", count=-1):
        """Instead of the sandbox's answer."""
        with self.lock:
            self.rules[about] = [lie, None, path, count]

    def spoil(self, spoil, about="", path="/", count=-1):
        """The sandbox does what it is asked, and its answer is spoilt."""
        with self.lock:
            self.rules[about] = [None, spoil, path, count]

    def honest(self):
        with self.lock:
            self.rules = {}

    def choose(self, path, body):
        with self.lock:
            for about, rule in self.rules.items():
                lie, spoil, start, count = rule
                if (count == 0 or not path.startswith(start)
                        or (about not in path
                            and about.encode() not in body)):
                    continue
                rule[3] -= 1
                self.lied[about] += 1
                return lie, spoil
            return None, None

    def ask(self, method, path, headers, body):
        sent = {k: v for k, v in headers.items()
                if k.lower() not in ("host", "connection", "expect")}
        c = http.client.HTTPConnection("127.0.0.1", self.druid.port,
                                       timeout=SECONDS)
        try:
            c.request(method, path, body if method == "POST" else None, sent)
            r = c.getresponse()
            answer = r.read().replace(b'"port":%d' % self.druid.port,
                                      b'"port":%d' % self.port)
            return Answer(r.status, r.headers.get("Content-Type",
                                                  "text/plain"), answer)
        finally:
            c.close()


# ---- lies ----

def redirect(url):
    def lie(h):
        h.wfile.write(f"HTTP/1.1 307 X\r\nLocation: {url}{h.path}\r\n"
                      "Content-Length: 0\r\n\r\n".encode())
    return lie


def redirect_nowhere(h):
    """Druid's own when no leader is known."""
    h.wfile.write(b"HTTP/1.1 307 X\r\nContent-Length: 0\r\n\r\n")


def answer(status, body, content_type="application/json"):
    body = body if isinstance(body, bytes) else body.encode()
    return lambda h: h.wfile.write(
        Answer(status, content_type, body).whole())


def raw(data):
    return lambda h: h.wfile.write(data)


def silence(h):
    """Accepts, and never answers."""
    _await_end(h)


def _await_end(h):
    h.connection.settimeout(SECONDS)
    try:
        while h.connection.recv(PIECE):
            pass
    except socket.timeout:
        pass


def trickle(h):
    """A byte now and then, for ever."""
    h.wfile.write(b"HTTP/1.1 200 X\r\nContent-Length: 1000000\r\n\r\n")
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        h.wfile.write(b" ")
        time.sleep(0.1)


def _endless(head, piece):
    def lie(h):
        h.wfile.write(head)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            h.wfile.write(piece)
    return lie


huge = _endless(b"HTTP/1.1 200 X\r\n\r\n", b" " * PIECE)
huge_error = _endless(b"HTTP/1.1 500 X\r\n\r\n", b"x" * PIECE)
huge_line = _endless(b"HTTP/1.1 200 X\r\nX-A: ", b"x" * PIECE)
huge_head = _endless(b"HTTP/1.1 200 X\r\n", b"X-A: xxxxxxxxxxxxxxx\r\n" * 3000)
for_ever_100 = _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
chunk_garbage = raw(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"zz\r\nnot a chunk\r\n")
chunk_huge = raw(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"
                 b"ffffffffffffffff\r\n{}\r\n")
not_http = raw(b"\x15\x03\x01\x00\x02\x02\x46 SSH-2.0-OpenSSH\r\n\r\n")


def cut(h, answer):
    """Breaks off in the middle of the body."""
    h.wfile.write(answer.head() + answer.body[:len(answer.body) // 2])


def cut_head(h, answer):
    h.wfile.write(answer.head()[:20])


def late(seconds):
    def spoil(h, answer):
        time.sleep(seconds)
        h.wfile.write(answer.whole())
    return spoil


def swallow(h, answer):
    """The connection ends without one."""
