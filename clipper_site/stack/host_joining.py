"""`clipper worker`: a worker of a stack that runs on another host.

A token lets this host join: the stack sends the settings of a worker, which are kept in VAR for
later starts. A setting in the environment has precedence.
"""

import argparse
import json
import os
import re
import socket
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import psycopg
import redis

from clipper_site.stack import process
from clipper_site.stack.layout import make_var, usable_var, write_private
from clipper_site.stack.terminal import StackError, say
from core.errors import KEY_SCHEME
from core.specs import JOINED_SETTINGS, OWN_SETTINGS, SERVERS
from core.version import VERSION
from serving.rpc.text import safe_text

TOKEN = "CLIPPER_JOIN_TOKEN"  # its name
# No other file's content goes over the network.
TOKEN_SHAPE = re.compile(r"clp_[\w-]{43}", re.ASCII)
URL_SHAPE = re.compile(r"https?://(\[[0-9a-f:.]+\]|[\w.-]+)(:\d{1,5})?(/[\w./-]*)?", re.ASCII)
LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|0\.0\.0\.0|::1?", re.ASCII)
URL = "CLIPPER_ARTIFACTS_URL"  # of the stack, among the settings
# The most bytes of an answer, and seconds: until the next of its bytes, and for all of it.
MOST_BYTES, TIMEOUT_S, ANSWER_S = 64 << 10, 10, 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Become the worker; return 1 if it can't start."""
    words = sys.argv[1:] if arguments is None else arguments
    os.umask(0o077)
    try:
        if any(TOKEN_SHAPE.search(word) for word in words):
            raise StackError(
                "Others can read a command's arguments: revoke that token, and give another one "
                f"in a file (--token-file) or as {TOKEN}."
            )
        options, others = _parser().parse_known_args(words)
        settings = _settings(options)
    except (StackError, ValueError) as error:
        print(f"clipper: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        return 1
    os.environ |= {name: os.environ.get(name) or text for name, text in settings.items()}
    os.environ["CLIPPER_VAR"] = str(usable_var(options.var).absolute())
    os.environ.pop(TOKEN, None)
    if options.slots:
        os.environ[f"CLIPPER_{'GPU' if options.gpu else 'CPU'}_SLOTS"] = options.slots
    return process.main(["worker", *(["--gpu"] if options.gpu else []), *others])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="clipper worker", allow_abbrev=False)
    parser.add_argument("--join", metavar="URL", help="of the stack, the first time")
    parser.add_argument("--token-file", metavar="F", help=f"with a join token, if not {TOKEN}")
    parser.add_argument("--insecure-http", action="store_true", help="join without TLS")
    parser.add_argument("--gpu", action="store_true", help="its slots are GPUs")
    parser.add_argument("--slots", metavar="N", help="replicas at once")
    parser.add_argument("--var", default=os.environ.get("CLIPPER_VAR") or "var", help="its state")
    return parser


def _settings(options: argparse.Namespace) -> dict[str, str]:
    """Return the settings of the stack that this host has joined, or joins now."""
    var = usable_var(options.var).absolute()
    make_var(var)
    file = var / "joined.json"
    settings: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    if options.join and options.join.rstrip("/") != settings.get(URL):
        place = stack_at(options.join.rstrip("/"), insecure=options.insecure_http)
        found = ask(place, token=token_of(options.token_file))
        write_private(file, text=json.dumps(settings := usable(found, place=place)))
        check_settings({**settings, **{n: text for n, text in os.environ.items() if text}}, found)
        say(f"This host has joined {place.geturl()}.")
    if not settings:
        raise StackError(f"{var} knows of no stack: give --join URL and --token-file F.")
    return settings | {"CLIPPER_GPU_SLOTS": "1"}


def stack_at(url: str, *, insecure: bool) -> SplitResult:
    """Read the URL of a stack. Raises StackError; without TLS it is this host's, or insisted on."""
    if not URL_SHAPE.fullmatch(url):
        raise StackError("--join takes the stack's URL, such as https://clipper.example.com.")
    if url.startswith("http:") and not insecure and not is_this_host(url):
        raise StackError(
            f"{url} isn't encrypted, and the answer holds secrets: join by https://, or with "
            "--insecure-http on a network where nobody else listens."
        )
    return urlsplit(url)


def token_of(file: str | None) -> str:
    """Read the token, which nobody else may read. Raises StackError."""
    text, source = os.environ.get(TOKEN, ""), TOKEN
    if file:
        source = f"The file {file}"
        try:
            with Path(file).open("rb") as opened:
                mode = os.fstat(opened.fileno()).st_mode
                text = opened.read(1000).decode("latin-1")
        except OSError as error:
            raise StackError(f"{source} can't be read: {error.strerror}.") from error
        if mode & 0o077:
            raise StackError(f"{source} is open to others (mode {mode & 0o777:o}): chmod 600 it.")
    if not TOKEN_SHAPE.fullmatch(text.strip()):
        raise StackError(f"{source} holds no join token; expected one as --token-file or {TOKEN}.")
    return text.strip()


def ask(place: SplitResult, *, token: str) -> Any:
    """Have the stack send its settings for a token. Raises StackError."""
    said = json.dumps({"host": socket.gethostname(), "release": VERSION})
    headers = {"Authorization": f"{KEY_SCHEME} {token}", "Content-Type": "application/json"}
    host, port, status = place.hostname or "", place.port, 0
    try:
        connection = HTTPConnection(host, port, timeout=TIMEOUT_S)
        if place.scheme == "https":
            trusted = ssl.create_default_context()
            if own := os.environ.get("CLIPPER_TLS_CA"):
                trusted.load_verify_locations(own)
            connection = HTTPSConnection(host, port, timeout=TIMEOUT_S, context=trusted)
        connection.request("POST", f"{place.path}/api/v1/keys/join", said, headers)
        response = connection.getresponse()  # a redirect isn't followed
        status, body, until = response.status, b"", time.monotonic() + ANSWER_S
        while (
            len(body) < MOST_BYTES
            and time.monotonic() < until
            and (more := response.read1(MOST_BYTES))
        ):
            body += more
        answer = json.loads(body)
        if status == 200:
            return answer
        why = f"refuses: {safe_text(answer['error'], most=500)}"
    except (OSError, HTTPException) as error:
        why = f"can't be asked: {safe_text(str(error) or type(error).__name__, most=300)}"
    except (ValueError, KeyError, TypeError, RecursionError):
        why = f"answered {status}, in no words of Clipper's"
    raise StackError(f"{place.geturl()} {why}")


def usable(found: Any, *, place: SplitResult) -> dict[str, str]:
    """Return known settings, with addresses that lead from here to the stack's own host."""
    try:
        settings = {name: found[name] for name in JOINED_SETTINGS if name in found}
        for name, begins in SERVERS.items():
            settings[name] = _dialled(settings[name], host=place.hostname or "")
            if not settings[name].startswith(begins):
                raise ValueError(name)
        if not ("".join(settings.values()) + settings["CLIPPER_CLUSTER_SECRET"]).isprintable():
            raise ValueError("no text")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StackError(f"{place.geturl()} sent no settings of a worker.") from None
    return settings | {URL: place.geturl(), "CLIPPER_ADVERTISE_HOST": "auto"}


def _dialled(url: str, *, host: str) -> str:
    """Return the URL of a server, with this host in the place of loopback."""
    if not is_this_host(url):
        return url
    place = urlsplit(url)
    port = f":{place.port}" if place.port else ""
    user, at, _ = place.netloc.rpartition("@")
    return place._replace(netloc=f"{user}{at}{f'[{host}]' if ':' in host else host}{port}").geturl()


def is_this_host(url: str) -> bool:
    return bool(LOOPBACK.fullmatch(urlsplit(url).hostname or ""))


def check_settings(settings: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Raise StackError for what keeps a worker with these settings from serving the stack."""
    again = "then start again, without a token."
    for name in OWN_SETTINGS:
        if name in found and name not in settings:
            raise StackError(f"The stack has {name}: set it here too, and what it needs; {again}")
    name = "REDIS_URL"
    try:
        with redis.Redis.from_url(settings[name], socket_timeout=TIMEOUT_S) as client:
            client.ping()
        name = "DATABASE_URL"
        psycopg.connect(settings[name], connect_timeout=TIMEOUT_S).close()
    except (ValueError, psycopg.ProgrammingError):  # they quote what they can't read
        raise StackError(f"The {name} of the stack can't be read: set another one here.") from None
    except (redis.RedisError, psycopg.Error, OSError) as error:
        why = safe_text(str(error).partition("\n")[0].rstrip("."), most=300)
        server = settings[name].rpartition("@")[2].partition("?")[0]
        raise StackError(
            f"This host doesn't reach the {name} of the stack, {server}: {why}. Have it listen for "
            f"other hosts and let this one in, or set {name} here; {again}"
        ) from None
