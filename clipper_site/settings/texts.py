"""The meaning of each environment variable, for the reference in the documentation.

Names, defaults and what is expected come from `clipper_site.settings`, where they are read. Links
are relative to docs/reference/.
"""

from __future__ import annotations

PLACE = {
    "CLIPPER_VAR": "Folder for all state: database, artifacts, Redis, logs, keys. `make run"
    ' VAR=dir` sets it. The launcher refuses `%`, `"`, `\\` and control characters; spaces, `#`,'
    " `?` and letters of any language are fine.",
    "CLIPPER_RUN_DIR": "Folder for sockets. The launcher sets it; it takes a short folder in"
    " `/tmp` where the path would be too long for a socket or has characters other than `A-Z a-z"
    " 0-9 / . _ ~ + -`.",
    "CLIPPER_HOST": "Address that the stack listens on: one of this machine's, or `0.0.0.0` or"
    " `::` for all of them. Beyond loopback others reach it without TLS: put a"
    " [proxy](../how-to/proxies.md) in front.",
    "CLIPPER_PORT": "Port that the stack is asked at. `make run PORT=8123` sets it.",
    "CLIPPER_CONSOLE_PORT": "A port of the console's own, for a [proxy](../how-to/proxies.md)"
    " that tells the two kinds of process apart. `0`: none; the console is there at"
    " `CLIPPER_PORT` in any case, and over HTTP at the Unix socket"
    " `$CLIPPER_RUN_DIR/console-http.sock`.",
    "DATABASE_URL": "Where the registry and the feedback are kept. A PostgreSQL socket:"
    " `postgres://user@%2Fvar%2Frun%2Fpostgresql/name`.",
    "REDIS_URL": "`redis://`, `rediss://` or `unix://…?db=0`. Unset, the stack starts a Redis of"
    " its own on a Unix socket, with a password (`$CLIPPER_VAR/redis_password`). Read"
    " [operations](../how-to/operations.md#redis) before you point it elsewhere.",
}

SIZE = {
    "CLIPPER_WEB_WORKERS": "Processes that answer queries. Each has its own cache and its own"
    " connections to the replicas.",
    "CLIPPER_CONSOLE_WORKERS": "Processes of the console, which answer everything else: its"
    " pages, REST management, uploads, `/metrics`. Each takes some 110 MiB as it starts.",
    "CLIPPER_CONSOLE_NICE": "Niceness of the console's processes, up to 19: where cores are"
    " short, queries and models go first.",
    "CLIPPER_COMPILED": "Whether processes that answer queries use the compiled code, where"
    " [`make compile`](../how-to/operations.md#compiled-code) has made it of these sources. `0`:"
    " they run the Python.",
    "CLIPPER_CPU_SLOTS": "Replicas that the stack's CPU worker can hold at once, one per slot.",
    "CLIPPER_PRELOAD_SKLEARN": "Whether the process that forks models' processes imports"
    " scikit-learn: replicas of its models share the memory of it, and start a second sooner. `0`"
    " if no version needs it.",
    "CLIPPER_GPU_SLOTS": "Replicas that the stack's GPU worker can hold at once, one per device;"
    " with `0` there is no such worker. See [workers](../explanation/cluster.md#workers).",
    "CLIPPER_RETIRE_S": "How long (seconds) a worker that gets SIGTERM waits until its replicas"
    " have moved to other workers, some three seconds for each. Those that are left answer what"
    " they have and end, within 10 s more: whatever stops the worker has to leave it as long."
    " `0`: none moves.",
    "CLIPPER_WORKER_NICE": "Niceness of the stack's workers and their replicas, up to 19: where"
    " cores are short, the processes that answer queries go first. `0` treats these alike.",
    "CLIPPER_CACHE_BYTES": "Size of the prediction cache of each predict process; 16 MiB hold"
    " about 65,000 labels. An answer larger than a sixteenth of it (at least 64 KiB) isn't kept."
    " `0` turns it off.",
    "CLIPPER_QUEUE_CAPACITY": "Queries that may wait for one replica in one web process. One more"
    " is refused by it at once, as by an [overloaded model](../how-to/predictions.md#overload).",
    "CLIPPER_QUEUE_BYTES": "Bytes of input that these queries may hold together. A query that"
    " would exceed it is refused likewise, or takes the place of one whose application holds more"
    " than its share. An empty queue takes a query of any size.",
    "CLIPPER_OUTPUTS_BYTES": "Memory in Redis for all outputs that are too large for a"
    " [receipt](../how-to/predictions.md#receipts). Beyond it, those that would expire first are"
    " dropped.",
    "CLIPPER_CONTEXTS_AT_HAND": "How many [contexts](../explanation/policies.md#contexts) each"
    " web process remembers, of all applications together, some 2 to 4 KB each with five arms."
    " Where more are asked by turns, a part of their queries goes by what is known for everybody.",
    "CLIPPER_REDIS_REPLICAS": "How many replicas of Redis must have a piece of feedback before it"
    " is acknowledged ([replicas](../how-to/operations.md#replicas-of-redis)).",
    "CLIPPER_REDIS_MAX_BYTES": "`maxmemory` of the stack's own Redis, at least 67108864 (64 MiB)."
    " See [what Redis keeps](../how-to/operations.md#what-redis-keeps).",
    "CLIPPER_MAX_ARTIFACT_BYTES": "Size of the largest artifact that can be uploaded.",
    "CLIPPER_UPLOADS_AT_ONCE": "Uploads under way in one process of the console; one more is"
    " refused with `saturated` and may come again.",
    "CLIPPER_MIN_FREE_BYTES": "Room that an upload must leave on the disk of `CLIPPER_VAR`; one"
    " that would leave less is refused with `insufficient_storage`.",
}

TIME = {
    "CLIPPER_LAME_DUCK_S": "Seconds, at most 60, for which a process that answers queries goes on"
    " accepting connections once it is told to end (SIGTERM). `GET /health/serving` says 503 from"
    " the first moment, so that a load balancer sends its clients to [another"
    " host](../how-to/proxies.md#several-hosts). A restart doesn't wait for it.",
    "CLIPPER_HUNG_S": "Seconds after which a batch counts as hung: its replica is ended and"
    " replaced. Set it longer than any batch may take.",
    "CLIPPER_CHECKS_AT_ONCE": "Versions that are tried out at once, up to 4; the others wait,"
    " those first that a release waits for. `0`: 4. Where together they may take more than half"
    " of the memory that is available, fewer run, and one always does. An environment is built"
    " beside them. See [what a deploy"
    " takes](../explanation/cluster.md#what-a-deploy-takes-from-others).",
    "CLIPPER_REACHED_S": "Seconds that web processes have to reach a release's replicas once one"
    " is ready; a release whose replicas some web process can't reach has then failed.",
    "CLIPPER_WARM_SECONDS": "Seconds for which the replicas of a replaced version are kept for a"
    " rollback.",
    "CLIPPER_MAX_BODY_BYTES": "Largest body of a prediction or feedback request; a larger one is"
    " `body_too_large`.",
    "CLIPPER_HEAD_TIMEOUT_S": "Seconds within which the head of a request has to arrive; then it"
    " is `request_timeout`.",
    "CLIPPER_BODY_TIMEOUT_S": "Seconds within which a body has to arrive, or to bring"
    " `CLIPPER_BODY_RATE` bytes per second for as long as it takes; else it is `request_timeout`."
    " So a large upload over a slow line may take its time.",
    "CLIPPER_BODY_RATE": "Bytes per second that a body must bring once it takes longer than"
    " `CLIPPER_BODY_TIMEOUT_S`.",
    "CLIPPER_AUTHENTICATION_TIMEOUT_S": "Seconds within which a websocket has to name a key; then"
    " it is closed.",
    "CLIPPER_UNFINISHED_BYTES": "Memory of each web process for requests and websocket messages"
    " that haven't arrived as a whole, over all connections; more is `saturated`.",
    "CLIPPER_LOG_LEVEL": "How much is logged, in any case.",
}

ENVIRONMENTS = {
    "CLIPPER_PIP_INDEX_URL": "Index of packages, as pip's. It may hold a user and a password: no"
    " log and no model gets to see them.",
    "CLIPPER_PIP_WHEELHOUSE": "A folder of wheels on each host, or the URL of a page that links"
    " to some, beside the index.",
    "CLIPPER_PIP_NO_INDEX": "`1`: from that folder alone, for hosts without an internet.",
    "CLIPPER_PIP_SOURCES": "`1`: a package without a wheel is built from its source, which runs"
    " its code on the host"
    " ([security](../explanation/security.md#what-a-versions-packages-may-do)). Without, wheels"
    " only.",
    "CLIPPER_PIP_URLS": "`1`: a version's [requirements](../how-to/environments.md) may name"
    " packages by URL (`https://`, `git+https://`, `git+ssh://`), too.",
    "CLIPPER_ENVIRONMENT_BUILD_S": "Seconds that building one may take.",
    "CLIPPER_ENVIRONMENT_BYTES": "Size of the largest one.",
    "CLIPPER_ENVIRONMENT_BUILDS": "How many a host builds at once.",
    "CLIPPER_ENVIRONMENTS_KEPT": "How many a host keeps. For another one, those go that nothing"
    " needs, the one used least recently first.",
    "CLIPPER_ENVIRONMENTS_BYTES": "Size of all that a host keeps, likewise. `clipper"
    " environments` and the console say how much of it each takes.",
    "UV_CACHE_DIR": "Where uv keeps the wheels that it has fetched, for all stacks of a user.",
}

ARTIFACTS = {
    "CLIPPER_S3_BUCKET": "Bucket that keeps the artifacts, of S3 or of a server that speaks its"
    " protocol. Needs `requirements-s3.txt`; credentials come from the usual variables of AWS."
    " See [operations](../how-to/operations.md#artifacts-in-s3).",
    "CLIPPER_S3_ENDPOINT": "Address of the server, such as `https://minio.example.com:9000`.",
    "CLIPPER_S3_REGION": "Region of the bucket.",
    "CLIPPER_S3_PREFIX": "What the names of all artifacts in the bucket begin with.",
    "CLIPPER_ARTIFACTS_BACKEND": "Instead of S3 any [storage of"
    " Django](https://docs.djangoproject.com/en/5.2/topics/files/), by its class:"
    " `storages.backends.gcloud.GoogleCloudStorage`.",
    "CLIPPER_ARTIFACTS_OPTIONS": 'Its options, a JSON object: `{"bucket_name": "models"}`.',
    "CLIPPER_ARTIFACTS_URL": "On a host whose folder of artifacts isn't that of the web"
    " processes: their address, or several, separated by commas. What the host lacks it [fetches"
    " from there](../how-to/operations.md#artifacts-on-several-hosts).",
    "CLIPPER_ARTIFACT_COPIES_BYTES": "What a host keeps of artifacts that it has fetched"
    " (`$CLIPPER_VAR/artifact-copies`). The least lately used go first, never one that a replica"
    " of the host uses.",
    "CLIPPER_FETCH_TIMEOUT_S": "Seconds that fetching one artifact may take as long as something"
    " arrives; where nothing does, it is given up after 30 s and tried again later, from where it"
    " broke off.",
    "CLIPPER_ARTIFACTS_AT_ONCE": "Hosts that one process of the console sends artifacts to at a"
    " time; others wait.",
}

HOSTS = {
    "CLIPPER_ADVERTISE_HOST": "Name or IP address at which other hosts reach this one. Where it"
    " is set, the replicas of this host listen on TCP instead of Unix sockets.",
    "CLIPPER_BIND_HOST": "Address that they listen on, where that is another one: `0.0.0.0` for"
    " all.",
    "CLIPPER_REPLICA_PORTS": "Ports that they listen on, such as `20000-20100`; each replica"
    " takes the first that is free.",
    "CLIPPER_CLUSTER_SECRET": "Secret of at least 32 characters (`clipper.E003`), the same on"
    " every host. Over TCP, web processes and replicas prove to each other that they know it, and"
    " it seals the [directory of replicas](../explanation/security.md#what-a-models-code-may-do).",
    "CLIPPER_TLS_CERT": "Certificate of the replicas of this host, PEM.",
    "CLIPPER_TLS_KEY": "Its key, PEM, without a password.",
    "CLIPPER_TLS_CA": "Certificate of the authority that signed theirs. Where it is set, web"
    " processes speak TLS with replicas on TCP.",
}

SECURITY = {
    "DJANGO_SECRET_KEY": "Signs sessions and receipts. Without the launcher it must be given"
    " (`clipper.E002`). After a change everybody is signed out; feedback on older predictions is"
    " refused, unless the next two say what it was"
    " ([how](../how-to/operations.md#changing-the-secret)).",
    "DJANGO_SECRET_KEY_PREVIOUS": "The key before this one. Feedback on predictions of its time"
    " counts until their windows are over; nothing else is taken by it.",
    "DJANGO_SECRET_KEY_CHANGED_AT": "When it was replaced, such as `2026-01-31T12:00:00Z`, which"
    " it can't do without: what it signed later is refused.",
    "CLIPPER_REMOTE_HOSTS": "Hosts that [remote models](../how-to/remote.md#which-hosts) may be"
    " asked at, separated by commas: names (`*.example.com` too), `host:port`, addresses,"
    " networks; `*` is every public host. Addresses that aren't public have to be listed as"
    " addresses or networks.",
    "CLIPPER_ALLOWED_HOSTS": "Host names under which the console and the management API answer,"
    " separated by commas.",
    "CLIPPER_TRUSTED_ORIGINS": "Origins whose forms the console takes behind a proxy, such as"
    " `https://clipper.example.com`.",
    "CLIPPER_HTTPS": "`1` where a proxy terminates TLS and sets `X-Forwarded-Proto`: redirects to"
    " https, secure cookies, HSTS for a year.",
    "CLIPPER_DEBUG": "Django's debug pages. Never where others can reach it.",
}

# The launcher sets these for the processes that it starts, whatever the shell says.
LAUNCHER = {
    "CLIPPER_PYTHON": "The interpreter of `.venv`.",
    "CLIPPER_GPU_WORKER": "`true` where `CLIPPER_GPU_SLOTS` is not 0.",
    "CLIPPER_CONSOLE_LISTENS": "Where the console listens beside its Unix sockets, made of"
    " `CLIPPER_CONSOLE_PORT`.",
    "CLIPPER_CONTROL_PASSWORD": "What `supervisorctl` and `make restart` prove themselves by,"
    " from `var/control_password`.",
    "CLIPPER_LISTENING": "The descriptor that listens on the stack's port, which the predict"
    " master inherits.",
    "CLIPPER_REDIS_OURS": "`true` where the stack starts its own Redis.",
    "CLIPPER_REDIS_SERVER": "The server that it starts.",
    "CLIPPER_STACK": "Marks each process of the stack, so that what a crash left behind can be"
    " found and ended.",
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

# How a default reads if the value alone says too little.
DEFAULTS = {
    "CLIPPER_VAR": "`var`",
    "CLIPPER_RUN_DIR": "`$CLIPPER_VAR/run`",
    "DATABASE_URL": "SQLite in `$CLIPPER_VAR/clipper.sqlite3`",
    "REDIS_URL": "the stack's own Redis",
    "CLIPPER_CPU_SLOTS": "one per 256 MiB of memory, up to 8 a core, from 8 to 64",
    "CLIPPER_REDIS_MAX_BYTES": "`0`: a quarter of the memory of the machine or its container",
    "CLIPPER_LAME_DUCK_S": "`8`; of a stack that `make run` starts `0`",
    "CLIPPER_UNFINISHED_BYTES": "`134217728` (128 MiB), or `CLIPPER_MAX_BODY_BYTES` where that is"
    " more",
    "CLIPPER_PIP_INDEX_URL": "PyPI",
    "UV_CACHE_DIR": "`~/.cache/uv`",
    "CLIPPER_S3_BUCKET": "none: the folder `$CLIPPER_VAR/artifacts`",
    "CLIPPER_S3_ENDPOINT": "that of AWS",
    "CLIPPER_S3_REGION": "as AWS's variables say",
    "CLIPPER_ARTIFACTS_BACKEND": "files in `$CLIPPER_VAR/artifacts`",
    "CLIPPER_ARTIFACTS_OPTIONS": "`{}`",
    "CLIPPER_ARTIFACTS_URL": "none: the folder has all artifacts",
    "CLIPPER_BIND_HOST": "`CLIPPER_ADVERTISE_HOST`",
    "CLIPPER_REPLICA_PORTS": "any free port",
    "CLIPPER_CLUSTER_SECRET": "derived from `DJANGO_SECRET_KEY`",
    "DJANGO_SECRET_KEY": "made once, kept in `$CLIPPER_VAR/secret_key`",
    "CLIPPER_REMOTE_HOSTS": "none",
}
