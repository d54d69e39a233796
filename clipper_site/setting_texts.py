"""What each environment variable is for: the reference in the documentation is made of this.

Names, defaults and what is expected come from `clipper_site.settings`, where they are read. Links
are relative to docs/reference/.
"""

from __future__ import annotations

from typing import NamedTuple


class SettingText(NamedTuple):
    """What a variable is for, and how its default reads where the value alone says too little."""

    meaning: str
    default: str = ""


def _text(meaning: str, *, default: str = "") -> SettingText:
    return SettingText(meaning=meaning, default=default)


PLACE = {
    "CLIPPER_VAR": _text(
        "Folder for all state: database, artifacts, Redis, logs, keys. `make run VAR=dir` sets it."
        ' The launcher refuses `%`, `"`, `\\` and control characters; spaces, `#`, `?` and letters'
        " of any language are fine.",
        default="`var`",
    ),
    "CLIPPER_RUN_DIR": _text(
        "Folder for sockets. The launcher sets it; it takes a short folder in `/tmp` where the"
        " path would be too long for a socket or has characters other than"
        " `A-Z a-z 0-9 / . _ ~ + -`.",
        default="`$CLIPPER_VAR/run`",
    ),
    "CLIPPER_HOST": _text(
        "Address that the stack listens on: one of this machine's, or `0.0.0.0` or `::` for all of"
        " them. Beyond loopback others reach it without TLS: put a"
        " [proxy](../how-to/proxies.md) in front."
    ),
    "CLIPPER_PORT": _text("Port that the stack is asked at. `make run PORT=8123` sets it."),
    "CLIPPER_CONSOLE_PORT": _text(
        "A port of the console's own, for a [proxy](../how-to/proxies.md) that tells the two kinds"
        " of process apart. `0`: none; the console is there at `CLIPPER_PORT` in any case, and over"
        " HTTP at the Unix socket `$CLIPPER_RUN_DIR/console-http.sock`."
    ),
    "DATABASE_URL": _text(
        "Where the registry and the feedback are kept. A PostgreSQL socket:"
        " `postgres://user@%2Fvar%2Frun%2Fpostgresql/name`.",
        default="SQLite in `$CLIPPER_VAR/clipper.sqlite3`",
    ),
    "REDIS_URL": _text(
        "`redis://`, `rediss://` or `unix://…?db=0`. Unset, the stack starts a Redis of its own on"
        " a Unix socket, with a password (`$CLIPPER_VAR/redis_password`). Read"
        " [operations](../how-to/operations.md#redis) before you point it elsewhere.",
        default="the stack's own Redis",
    ),
}

SIZE = {
    "CLIPPER_WEB_WORKERS": _text(
        "Processes that answer queries. Each has its own cache and its own connections to the"
        " replicas."
    ),
    "CLIPPER_CONSOLE_WORKERS": _text(
        "Processes of the console, which answer everything else: its pages, REST management,"
        " uploads, `/metrics`. Each takes some 110 MiB as it starts."
    ),
    "CLIPPER_CONSOLE_NICE": _text(
        "Niceness of the console's processes, up to 19: where cores are short, queries and models"
        " go first."
    ),
    "CLIPPER_COMPILED": _text(
        "Whether processes that answer queries use the compiled code, where"
        " [`make compile`](../how-to/operations.md#compiled-code) has made it of these sources."
        " `0`: they run the Python."
    ),
    "CLIPPER_CPU_SLOTS": _text(
        "Replicas that the stack's CPU worker can hold at once, one per slot.",
        default="one per 256 MiB of memory, up to 8 a core, from 8 to 64",
    ),
    "CLIPPER_PRELOAD_SKLEARN": _text(
        "Whether workers import scikit-learn before they fork: replicas of its models share the"
        " memory of it, and start a second sooner. `0` where none of the versions needs it: workers"
        " start that second sooner themselves."
    ),
    "CLIPPER_GPU_SLOTS": _text(
        "Replicas that the stack's GPU worker can hold at once, one per device; with `0` there is"
        " no such worker. See [workers](../explanation/cluster.md#workers)."
    ),
    "CLIPPER_RETIRE_S": _text(
        "How long (seconds) a worker that gets SIGTERM waits until its replicas have moved to other"
        " workers, some three seconds for each. Those that are left answer what they have and end,"
        " within 10 s more: whatever stops the worker has to leave it as long. `0`: none moves."
    ),
    "CLIPPER_WORKER_NICE": _text(
        "Niceness of the stack's workers and their replicas, up to 19: where cores are short, the"
        " processes that answer queries go first. `0` treats these alike."
    ),
    "CLIPPER_CACHE_BYTES": _text(
        "Size of the prediction cache of each predict process; 16 MiB hold about 65,000 labels. An"
        " answer larger than a sixteenth of it (at least 64 KiB) isn't kept. `0` turns it off."
    ),
    "CLIPPER_QUEUE_CAPACITY": _text(
        "Queries that may wait for one replica in one web process. One more is refused by it at"
        " once, as by an [overloaded model](../how-to/predictions.md#overload)."
    ),
    "CLIPPER_QUEUE_BYTES": _text(
        "Bytes of input that these queries may hold together. A query that would exceed it is"
        " refused likewise, or takes the place of one whose application holds more than its share."
        " An empty queue takes a query of any size."
    ),
    "CLIPPER_OUTPUTS_BYTES": _text(
        "Memory in Redis for all outputs that are too large for a"
        " [receipt](../how-to/predictions.md#receipts). Beyond it, those that would expire first"
        " are dropped."
    ),
    "CLIPPER_CONTEXTS_AT_HAND": _text(
        "How many [contexts](../explanation/policies.md#contexts) each web process remembers, of"
        " all applications together, some 2 to 4 KB each with five arms. Where more are asked by"
        " turns, a part of their queries goes by what is known for everybody."
    ),
    "CLIPPER_REDIS_REPLICAS": _text(
        "How many replicas of Redis must have a piece of feedback before it is acknowledged"
        " ([replicas](../how-to/operations.md#replicas-of-redis))."
    ),
    "CLIPPER_REDIS_MAX_BYTES": _text(
        "`maxmemory` of the stack's own Redis, at least 67108864 (64 MiB). See"
        " [what Redis keeps](../how-to/operations.md#what-redis-keeps).",
        default="`0`: a quarter of the memory of the machine or its container",
    ),
    "CLIPPER_MAX_ARTIFACT_BYTES": _text("Size of the largest artifact that can be uploaded."),
    "CLIPPER_UPLOADS_AT_ONCE": _text(
        "Uploads under way in one process of the console; one more is refused with `saturated` and "
        "may come again."
    ),
    "CLIPPER_MIN_FREE_BYTES": _text(
        "Room that an upload must leave on the disk of `CLIPPER_VAR`; one that would leave less is"
        " refused with `insufficient_storage`."
    ),
}

TIME = {
    "CLIPPER_LAME_DUCK_S": _text(
        "Seconds, at most 60, for which a process that answers queries goes on accepting"
        " connections once it is told to end (SIGTERM). `GET /health/serving` says 503 from the"
        " first moment, so that a load balancer sends its clients to"
        " [another host](../how-to/proxies.md#several-hosts). A restart doesn't wait for it.",
        default="`8`; of a stack that `make run` starts `0`",
    ),
    "CLIPPER_HUNG_S": _text(
        "Seconds after which a batch counts as hung: its replica is ended and replaced. Set it"
        " longer than any batch may take."
    ),
    "CLIPPER_CHECKS_AT_ONCE": _text(
        "Versions that are tried out at once, up to 4; the others wait, those first that a release"
        " waits for. `0`: 4. Where together they may take more than half of the memory that is"
        " available, fewer run, and one always does. An environment is built beside them. See"
        " [what a deploy takes](../explanation/cluster.md#what-a-deploy-takes-from-others)."
    ),
    "CLIPPER_REACHED_S": _text(
        "Seconds that web processes have to reach a release's replicas once one is ready; a release"
        " whose replicas some web process can't reach has then failed."
    ),
    "CLIPPER_WARM_SECONDS": _text(
        "Seconds for which the replicas of a replaced version are kept for a rollback."
    ),
    "CLIPPER_MAX_BODY_BYTES": _text(
        "Largest body of a prediction or feedback request; a larger one is `body_too_large`."
    ),
    "CLIPPER_HEAD_TIMEOUT_S": _text(
        "Seconds within which the head of a request has to arrive; then it is `request_timeout`."
    ),
    "CLIPPER_BODY_TIMEOUT_S": _text(
        "Seconds within which a body has to arrive, or to bring `CLIPPER_BODY_RATE` bytes per"
        " second for as long as it takes; else it is `request_timeout`. So a large upload over a"
        " slow line may take its time."
    ),
    "CLIPPER_BODY_RATE": _text(
        "Bytes per second that a body must bring once it takes longer than"
        " `CLIPPER_BODY_TIMEOUT_S`."
    ),
    "CLIPPER_AUTHENTICATION_TIMEOUT_S": _text(
        "Seconds within which a websocket has to name a key; then it is closed."
    ),
    "CLIPPER_UNFINISHED_BYTES": _text(
        "Memory of each web process for requests and websocket messages that haven't arrived as a"
        " whole, over all connections; more is `saturated`.",
        default="`134217728` (128 MiB), or `CLIPPER_MAX_BODY_BYTES` where that is more",
    ),
    "CLIPPER_LOG_LEVEL": _text("How much is logged, in any case."),
}

ENVIRONMENTS = {
    "CLIPPER_PIP_INDEX_URL": _text(
        "Index of packages, as pip's. It may hold a user and a password: no log and no model gets"
        " to see them.",
        default="PyPI",
    ),
    "CLIPPER_PIP_WHEELHOUSE": _text(
        "A folder of wheels on each host, or the URL of a page that links to some, beside the"
        " index."
    ),
    "CLIPPER_PIP_NO_INDEX": _text("`1`: from that folder alone, for hosts without an internet."),
    "CLIPPER_PIP_SOURCES": _text(
        "`1`: a package without a wheel is built from its source, which runs its code on the host"
        " ([security](../explanation/security.md#what-a-versions-packages-may-do)). Without,"
        " wheels only."
    ),
    "CLIPPER_PIP_URLS": _text(
        "`1`: a version's [requirements](../how-to/environments.md) may name packages by URL"
        " (`https://`, `git+https://`, `git+ssh://`), too."
    ),
    "CLIPPER_ENVIRONMENT_BUILD_S": _text("Seconds that building one may take."),
    "CLIPPER_ENVIRONMENT_BYTES": _text("Size of the largest one."),
    "CLIPPER_ENVIRONMENT_BUILDS": _text("How many a host builds at once."),
    "CLIPPER_ENVIRONMENTS_KEPT": _text(
        "How many a host keeps. For another one, those go that nothing needs, the one used least"
        " recently first."
    ),
    "CLIPPER_ENVIRONMENTS_BYTES": _text(
        "Size of all that a host keeps, likewise. `clipper environments` and the console say how"
        " much of it each takes."
    ),
    "UV_CACHE_DIR": _text(
        "Where uv keeps the wheels that it has fetched, for all stacks of a user.",
        default="`~/.cache/uv`",
    ),
}

ARTIFACTS = {
    "CLIPPER_S3_BUCKET": _text(
        "Bucket that keeps the artifacts, of S3 or of a server that speaks its protocol. Needs"
        " `requirements-s3.txt`; credentials come from the usual variables of AWS. See"
        " [operations](../how-to/operations.md#artifacts-in-s3).",
        default="none: the folder `$CLIPPER_VAR/artifacts`",
    ),
    "CLIPPER_S3_ENDPOINT": _text(
        "Address of the server, such as `https://minio.example.com:9000`.", default="that of AWS"
    ),
    "CLIPPER_S3_REGION": _text("Region of the bucket.", default="as AWS's variables say"),
    "CLIPPER_S3_PREFIX": _text("What the names of all artifacts in the bucket begin with."),
    "CLIPPER_ARTIFACTS_BACKEND": _text(
        "Instead of S3 any [storage of Django](https://docs.djangoproject.com/en/5.2/topics/files/),"
        " by its class: `storages.backends.gcloud.GoogleCloudStorage`.",
        default="files in `$CLIPPER_VAR/artifacts`",
    ),
    "CLIPPER_ARTIFACTS_OPTIONS": _text(
        'Its options, a JSON object: `{"bucket_name": "models"}`.', default="`{}`"
    ),
    "CLIPPER_ARTIFACTS_URL": _text(
        "On a host whose folder of artifacts isn't that of the web processes: their address, or"
        " several, separated by commas. What the host lacks it"
        " [fetches from there](../how-to/operations.md#artifacts-on-several-hosts).",
        default="none: the folder has all artifacts",
    ),
    "CLIPPER_ARTIFACT_COPIES_BYTES": _text(
        "What a host keeps of artifacts that it has fetched (`$CLIPPER_VAR/artifact-copies`). The"
        " least lately used go first, never one that a replica of the host uses."
    ),
    "CLIPPER_FETCH_TIMEOUT_S": _text(
        "Seconds that fetching one artifact may take as long as something arrives; where nothing"
        " does, it is given up after 30 s and tried again later, from where it broke off."
    ),
    "CLIPPER_ARTIFACTS_AT_ONCE": _text(
        "Hosts that one process of the console sends artifacts to at a time; others wait."
    ),
}

HOSTS = {
    "CLIPPER_ADVERTISE_HOST": _text(
        "Name or IP address at which other hosts reach this one. Where it is set, the replicas of"
        " this host listen on TCP instead of Unix sockets."
    ),
    "CLIPPER_BIND_HOST": _text(
        "Address that they listen on, where that is another one: `0.0.0.0` for all.",
        default="`CLIPPER_ADVERTISE_HOST`",
    ),
    "CLIPPER_REPLICA_PORTS": _text(
        "Ports that they listen on, such as `20000-20100`; each replica takes the first that is"
        " free.",
        default="any free port",
    ),
    "CLIPPER_CLUSTER_SECRET": _text(
        "Secret of at least 32 characters (`clipper.E003`), the same on every host. Over TCP, web"
        " processes and replicas prove to each other that they know it, and it seals the"
        " [directory of replicas](../explanation/security.md#what-a-models-code-may-do).",
        default="derived from `DJANGO_SECRET_KEY`",
    ),
    "CLIPPER_TLS_CERT": _text("Certificate of the replicas of this host, PEM."),
    "CLIPPER_TLS_KEY": _text("Its key, PEM, without a password."),
    "CLIPPER_TLS_CA": _text(
        "Certificate of the authority that signed theirs. Where it is set, web processes speak TLS"
        " with replicas on TCP."
    ),
}

SECURITY = {
    "DJANGO_SECRET_KEY": _text(
        "Signs sessions and receipts. Without the launcher it must be given (`clipper.E002`)."
        " After a change everybody is signed out; feedback on older predictions is refused, unless"
        " the next two say what it was"
        " ([how](../how-to/operations.md#changing-the-secret)).",
        default="made once, kept in `$CLIPPER_VAR/secret_key`",
    ),
    "DJANGO_SECRET_KEY_PREVIOUS": _text(
        "The key before this one. Feedback on predictions of its time counts until their windows"
        " are over; nothing else is taken by it."
    ),
    "DJANGO_SECRET_KEY_CHANGED_AT": _text(
        "When it was replaced, such as `2026-01-31T12:00:00Z`, which it can't do without: what it"
        " signed later is refused."
    ),
    "CLIPPER_REMOTE_HOSTS": _text(
        "Hosts that [remote models](../how-to/remote.md#which-hosts) may be asked at, separated by"
        " commas: names (`*.example.com` too), `host:port`, addresses, networks; `*` is every"
        " public host. Addresses that aren't public have to be listed as addresses or networks.",
        default="none",
    ),
    "CLIPPER_ALLOWED_HOSTS": _text(
        "Host names under which the console and the management API answer, separated by commas."
    ),
    "CLIPPER_TRUSTED_ORIGINS": _text(
        "Origins whose forms the console takes behind a proxy, such as"
        " `https://clipper.example.com`."
    ),
    "CLIPPER_HTTPS": _text(
        "`1` where a proxy terminates TLS and sets `X-Forwarded-Proto`: redirects to https, secure"
        " cookies, HSTS for a year."
    ),
    "CLIPPER_DEBUG": _text("Django's debug pages. Never where others can reach it."),
}

# The launcher sets these for the processes that it starts, whatever the shell says.
LAUNCHER = {
    "CLIPPER_PYTHON": _text("The interpreter of `.venv`."),
    "CLIPPER_GPU_WORKER": _text("`true` where `CLIPPER_GPU_SLOTS` is not 0."),
    "CLIPPER_CONSOLE_LISTENS": _text(
        "Where the console listens beside its Unix sockets, made of `CLIPPER_CONSOLE_PORT`."
    ),
    "CLIPPER_CONTROL_PASSWORD": _text(
        "What `supervisorctl` and `make restart` prove themselves by, from `var/control_password`."
    ),
    "CLIPPER_LISTENING": _text(
        "The descriptor that listens on the stack's port, which the predict master inherits."
    ),
    "CLIPPER_REDIS_OURS": _text("`true` where the stack starts its own Redis."),
    "CLIPPER_REDIS_SERVER": _text("The server that it starts."),
    "CLIPPER_STACK": _text(
        "Marks each process of the stack, so that what a crash left behind can be found and ended."
    ),
}

# In the order of the reference. The launcher's aren't read by the settings.
SECTIONS = {
    "place": PLACE,
    "size": SIZE,
    "time": TIME,
    "environments": ENVIRONMENTS,
    "artifacts": ARTIFACTS,
    "hosts": HOSTS,
    "security": SECURITY,
}
