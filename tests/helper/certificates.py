"""Certificates for tests, made by the openssl command.

    store = certificates.Store(folder)
    ca = store.authority("ca")
    server = store.leaf("server", ca)       server.certificate, server.key: paths
"""

import os
import subprocess

HOSTS = "subjectAltName=DNS:localhost,IP:127.0.0.1"


def run(*words, **how):
    """A command; what it prints."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, **how)
    assert done.returncode == 0, (words, done.stdout)
    return done.stdout


class Pair:
    def __init__(self, folder, name):
        self.name = name
        self.certificate = os.path.join(folder, name + ".pem")
        self.key = os.path.join(folder, name + ".key")


class Store:
    def __init__(self, folder):
        self.folder = os.path.join(folder, "certificates")
        os.makedirs(self.folder, exist_ok=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, *files):
        """A file of others' contents, one behind the other."""
        with open(self.path(name), "wb") as to:
            for file in files:
                with open(file, "rb") as f:
                    to.write(f.read())
        return self.path(name)

    def _key(self, pair, kind):
        options = (["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
                   if kind == "rsa" else
                   ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
        run("openssl", "genpkey", "-algorithm", *options, "-out", pair.key)

    def authority(self, name):
        pair = Pair(self.folder, name)
        self._key(pair, "ec")
        run("openssl", "req", "-x509", "-new", "-key", pair.key, "-days",
            "30", "-subj", f"/CN={name}", "-out", pair.certificate,
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        return pair

    def leaf(self, name, authority, *, kind="ec", is_ca=False,
             dates=None):
        """Signed by the authority. dates: from and to as YYYYMMDD."""
        pair = Pair(self.folder, name)
        self._key(pair, kind)
        request = self.path(name + ".csr")
        run("openssl", "req", "-new", "-key", pair.key, "-subj",
            f"/CN={name}", "-out", request)
        extensions = self.path(name + ".ext")
        with open(extensions, "w") as f:
            f.write("basicConstraints=CA:TRUE\n" if is_ca else HOSTS + "\n")
        if dates is not None:
            self._sign_between(pair, authority, request, extensions, dates)
        else:
            run("openssl", "x509", "-req", "-in", request, "-CA",
                authority.certificate, "-CAkey", authority.key,
                "-CAcreateserial", "-days", "30", "-extfile", extensions,
                "-out", pair.certificate)
        return pair

    def _sign_between(self, pair, authority, request, extensions, dates):
        settings = self.path("ca.cnf")
        for name, text in (("index.txt", ""), ("ca.cnf", f"""
[ca]
default_ca = here
[here]
new_certs_dir = {self.folder}
database = {self.path("index.txt")}
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
""")):
            with open(self.path(name), "w") as f:
                f.write(text)
        run("openssl", "ca", "-batch", "-config", settings, "-in", request,
            "-cert", authority.certificate, "-keyfile", authority.key,
            "-startdate", dates[0] + "000000Z",
            "-enddate", dates[1] + "000000Z", "-extfile", extensions,
            "-notext", "-out", pair.certificate)

    def pkcs12(self, name, pair, *, alias="tranqd", password="open",
               chain=None, options=()):
        """A store of one entry."""
        path = self.path(name)
        more = ["-certfile", chain] if chain else []
        run("openssl", "pkcs12", "-export", "-in", pair.certificate, "-inkey",
            pair.key, "-name", alias, "-passout", f"pass:{password}", "-out",
            path, *more, *options)
        return path
