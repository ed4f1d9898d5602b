"""Keys over TLS: a server that cannot prove who it is gets no request at all,
and a redirect leads the key nowhere."""
import http.server
import shutil
import ssl
import subprocess
import threading

import pytest

PROVIDERS = {
    "e2b": ("e2b:box:/tmp/nowhere", "E2B_API_URL", "E2B_API_KEY"),
    "cloudflare": ("cloudflare:box:/workspace/p", "CLOUDFLARE_SANDBOX_URL",
                   "CLOUDFLARE_SANDBOX_API_KEY"),
}
KEY = "e2b_0123456789abcdef0123"


class Server(http.server.ThreadingHTTPServer):
    """Remembers what it was asked; answers with a redirect, or 418."""
    daemon_threads = True

    def __init__(self, certificate=None, to=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        self.to = to
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://localhost:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.server.seen.append(KEY in str(self.headers))
        self.send_response(307 if self.server.to else 418)
        if self.server.to:
            self.send_header("Location", self.server.to + self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = answer

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    made = []

    def make(*args, **kw):
        made.append(Server(*args, **kw))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def certificate(top, name):
    """Key and self-signed certificate of host NAME, in one file."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl here")
    key, cert, both = (top / f"{name}.{end}" for end in ("k", "c", "pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout",
         key, "-out", cert, "-subj", f"/CN={name}", "-addext",
         f"subjectAltName=DNS:{name}"], check=True, capture_output=True)
    both.write_text(key.read_text() + cert.read_text())
    return both


@pytest.fixture(params=PROVIDERS)
def ask(request, world):
    spec, url, key = PROVIDERS[request.param]

    def ask(server, trusted=None):
        env = {url: server.url, key: KEY}
        if trusted:
            env["CURL_CA_BUNDLE"] = str(trusted)
        r = world.run("prepare", "--name", "box", "--local", world.local,
                      spec, env=env, check=1)
        assert KEY not in r.err + r.out
        return r

    return ask


def test_who_is_trusted_gets_the_key(world, serve, ask):
    cert = certificate(world.top, "localhost")
    server = serve(cert)
    r = ask(server, cert)
    assert server.seen and all(server.seen), r
    assert "418" in r.err, r


def test_unknown_certificate(world, serve, ask):
    server = serve(certificate(world.top, "localhost"))
    r = ask(server)
    assert server.seen == [] and "certificate" in r.err, r


def test_certificate_of_another_host(world, serve, ask):
    cert = certificate(world.top, "sandbox.example")
    server = serve(cert)
    r = ask(server, cert)
    assert server.seen == [], r


def test_redirect_is_not_followed(world, serve, ask):
    cert = certificate(world.top, "localhost")
    other = serve()
    server = serve(cert, to=other.url)
    r = ask(server, cert)
    assert server.seen and other.seen == [], r
    assert "redirect" in r.err, r
