"""The proxies' configurations of the documentation send each request to its kind of process."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from clipper_site import ROOT
from clipper_site.stack.layout import free_port
from tests.integration.conftest import Digits
from tests.integration.stack import Stack, eventually

PAGE = ROOT / "docs" / "how-to" / "proxies.md"
START_S = 60.0
UPLOAD_BYTES = 20 << 20
CODE = (
    b"class Predictor:\n    def __init__(self, path): pass\n    def pred_batch(self, x): return x\n"
)


def configuration(language: str, *, stack: Stack, port: int) -> str:
    """The page's, at this port without TLS, in front of this stack."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert found is not None
    text = found[1]
    console = stack.console_socket
    for pattern, plain in (
        (r"listen 443 ssl;", f"listen 127.0.0.1:{port};"),
        (r" +ssl_certificate\w* [^\n]+\n", ""),
        (r"bind :443 [^\n]+", f"bind 127.0.0.1:{port}"),
        (r"(?m)^clipper\.example\.com \{", f"http://127.0.0.1:{port} {{"),
        (r"127\.0\.0\.1:8000", f"127.0.0.1:{stack.port}"),
        (r"server 127\.0\.0\.1:8001", f"server unix:{console}"),
        (r"server console 127\.0\.0\.1:8001", f"server console unix@{console}"),
        (r"reverse_proxy 127\.0\.0\.1:8001", f"reverse_proxy unix/{console}"),
    ):
        text = re.sub(pattern, plain, text)
    assert not re.search(r":(800\d|443)\b", text)
    return text


def nginx(folder: Path, text: str) -> Sequence[str]:
    file = folder / "nginx.conf"
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # The sockets are those of the stack's user.
    user = "user root;\n" if os.geteuid() == 0 else ""
    file.write_text(
        f"{user}daemon off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{text}}}\n"
    )
    return ["nginx", "-e", "stderr", "-c", str(file)]


def haproxy(folder: Path, text: str) -> Sequence[str]:
    file = folder / "haproxy.cfg"
    file.write_text(text)
    return ["haproxy", "-db", "-f", str(file)]


def caddy(folder: Path, text: str) -> Sequence[str]:
    file = folder / "Caddyfile"
    file.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
    return ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]


PROXIES: dict[str, Callable[[Path, str], Sequence[str]]] = {
    "nginx": nginx,
    "haproxy": haproxy,
    "caddy": caddy,
}


@contextmanager
def running(name: str, *, stack: Stack, folder: Path) -> Iterator[str]:
    """The proxy in front of the stack; gives its address."""
    port = free_port()
    text = configuration(name, stack=stack, port=port)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            PROXIES[name](folder, text),
            stdout=log,
            stderr=log,
            env={"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": str(folder)},
        )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return httpx.get(f"{url}/admin/login/", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        eventually(answers, seconds=START_S, what=f"{name} answers")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(params=sorted(PROXIES))
def proxy(request: pytest.FixtureRequest, stack: Stack, tmp_path: Path) -> Iterator[str]:
    if shutil.which(request.param, path="/usr/sbin:/usr/bin") is None:
        pytest.skip(f"{request.param} isn't installed")
    with running(request.param, stack=stack, folder=tmp_path) as url:
        yield url


def test_a_proxy_tells_the_two_kinds_apart(
    stack: Stack, proxy: str, digits: Digits, request: pytest.FixtureRequest
) -> None:
    asked = {"input": digits[0][0]}
    path = "/api/v1/applications/digits/predict"
    with httpx.Client(base_url=proxy, headers=stack.headers, timeout=60) as client:
        assert client.post(path, json=asked).status_code == 200
        assert client.post("/digits/predict", json=asked).status_code == 200
        assert [client.get(closed).status_code for closed in ("/metrics", "/health/ready")] == [
            403,
            403,
        ]
        address = f"{proxy.replace('http', 'ws')}/ws/v1/applications/digits"
        with connect(address, additional_headers=stack.headers) as socket:
            socket.send(json.dumps({"id": 1, **asked}))
            assert json.loads(socket.recv(timeout=20))["type"] == "prediction"
        model = f"behind-{request.node.callspec.params['proxy']}"
        upload(client, model=model)

        with stack.without("console"):
            assert client.post(path, json=asked).status_code == 200
            assert client.get("/admin/login/").status_code >= 502
        # A proxy that looks after its servers has to see that it is back.
        eventually(
            lambda: client.get("/admin/login/").status_code == 200,
            seconds=START_S,
            what="it is back",
        )
        with stack.without("predict"):
            assert client.get("/admin/login/").status_code == 200
            assert client.get("/api/v1/models/").status_code == 200
            assert client.post(path, json=asked).status_code >= 502


def upload(client: httpx.Client, *, model: str) -> None:
    made = client.post("/api/v1/models/", json={"name": model, "input_type": "doubles"})
    assert made.status_code == 201, made.text
    artifact = CODE.ljust(UPLOAD_BYTES, b"#")
    sent = client.post(
        f"/api/v1/models/{model}/versions/",
        data={"version": "1", "runtime": "python"},
        files={"artifact": ("model.py", artifact)},
    )
    assert sent.status_code == 201, sent.text
