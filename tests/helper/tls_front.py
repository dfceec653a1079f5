"""TLS in front of something that speaks plain HTTP, and certificates for it.

    certs = Certificates(folder)
    key = certs.server("druid", "127.0.0.1")     (certificate, key)
    with TlsFront(druid.port, key) as front:
        ... f"https://127.0.0.1:{front.port}" ...

Bytes are passed on as they come. A record of a client's that does not begin
with a request is counted: front.torn, of front.records.
"""

import os
import selectors
import socket
import ssl
import subprocess
import threading

BUFFER_BYTES = 65536
HANDSHAKE_SECONDS = 10


class Certificates:
    """A CA in a folder, and what it signs."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name, self.serial = folder, name, 1
        os.makedirs(folder, exist_ok=True)
        self._key(name)
        self._run("req", "-x509", "-new", "-key", self.path(name, "key"),
                  "-days", "30", "-subj", f"/CN={name}",
                  "-out", self.path(name))
        self.ca = self.path(name)

    def path(self, name, kind="pem"):
        return os.path.join(self.folder, f"{name}.{kind}")

    def _run(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True,
                       stdin=subprocess.DEVNULL, capture_output=True)

    def _key(self, name):
        self._run("ecparam", "-name", "prime256v1", "-genkey", "-noout",
                  "-out", self.path(name, "key"))

    def signed(self, name, address=None, host=None):
        """(certificate, key) of somebody at the address or host."""
        names = ",".join([f"IP:{address}"] * (address is not None)
                         + [f"DNS:{host}"] * (host is not None))
        self._key(name)
        self._run("req", "-new", "-key", self.path(name, "key"),
                  "-subj", f"/CN={name}", "-out", self.path(name, "csr"))
        with open(self.path(name, "ext"), "w") as f:
            f.write(f"subjectAltName={names}\n" if names else "\n")
        self.serial += 1
        self._run("x509", "-req", "-in", self.path(name, "csr"),
                  "-CA", self.ca, "-CAkey", self.path(self.name, "key"),
                  "-set_serial", str(self.serial), "-days", "30",
                  "-extfile", self.path(name, "ext"),
                  "-out", self.path(name))
        return self.path(name), self.path(name, "key")

    def pkcs12(self, password):
        """The CA's certificate as a trust store."""
        self._run("pkcs12", "-export", "-nokeys", "-in", self.ca,
                  "-passout", f"pass:{password}",
                  "-out", self.path(self.name, "p12"))
        return self.path(self.name, "p12")


def listen():
    return socket.create_server(("127.0.0.1", 0), backlog=128)


class TlsFront:
    """client_ca: clients need a certificate that it has signed. listener: a
    socket that listens already."""

    def __init__(self, to_port, certificate, client_ca=None, listener=None):
        self.to_port = to_port
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        if client_ca is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(client_ca)
        self.listener = listener or listen()
        self.port = self.listener.getsockname()[1]
        self.open = set()
        self.lock = threading.Lock()
        self.is_closing = False
        self.records = self.torn = 0
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def close(self):
        self.is_closing = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join()
        self.listener.close()
        with self.lock:
            for s in self.open:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def _accept(self):
        while not self.is_closing:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,),
                             daemon=True).start()

    def _serve(self, client):
        with self.lock:
            self.open.add(client)
        try:
            client.settimeout(HANDSHAKE_SECONDS)
            with self.context.wrap_socket(
                    client, server_side=True,
                    do_handshake_on_connect=False) as tls:
                with self.lock:
                    self.open.add(tls)
                self._shake_hands(tls)
                tls.settimeout(None)
                with socket.create_connection(
                        ("127.0.0.1", self.to_port)) as server:
                    self._pass_on(tls, server)
                with self.lock:
                    self.open.discard(tls)
        except OSError:
            pass  # whoever it was sees it himself
        finally:
            with self.lock:
                self.open.discard(client)
            client.close()

    def _shake_hands(self, tls):
        """A client that is refused has sent more by then: a close with that
        unread would reset the connection, and could take our alert along."""
        try:
            tls.do_handshake()
        except ssl.SSLError:
            tls.shutdown(socket.SHUT_WR)
            while tls.recv(BUFFER_BYTES):
                pass
            raise

    def _read(self, tls):
        """One record at most is read at a time."""
        data = tls.recv(BUFFER_BYTES)
        with self.lock:
            self.records += data != b""
            self.torn += data != b"" and not data.startswith(
                (b"POST ", b"GET "))
        return data

    def _pass_on(self, tls, server):
        """Until one side ends; an end that is not a TLS end goes on as an
        end, too."""
        with selectors.DefaultSelector() as both:
            both.register(tls, selectors.EVENT_READ)
            both.register(server, selectors.EVENT_READ)
            while True:
                for key, _ in both.select():
                    if key.fileobj is server:
                        data = server.recv(BUFFER_BYTES)
                        tls.sendall(data)
                    else:
                        data = self._read(tls)
                        server.sendall(data)
                        while tls.pending():
                            server.sendall(self._read(tls))
                    if not data:
                        return
