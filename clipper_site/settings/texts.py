"""The meaning of each environment variable, for the documentation.

Links are relative to docs/reference/.
"""

PLACE = {
    "CLIPPER_VAR": "Folder for all state: database, artifacts, Redis, logs, keys. `make run"
    ' VAR=dir` sets it. The launcher refuses `%`, `"`, `\\` and control characters.',
    "CLIPPER_RUN_DIR": "Folder for sockets. The launcher sets it, to a short folder in `/tmp` if"
    " the path would be too long for a socket or has unusual characters.",
    "CLIPPER_HOST": "Address that the stack listens on: one of this machine's, or `0.0.0.0` or `::`"
    " for all of them. There is no TLS: put a [proxy](../how-to/proxies.md) in front.",
    "CLIPPER_PORT": "Port of the stack. `make run PORT=8123` sets it.",
    "CLIPPER_CONSOLE_PORT": "A port of the console's own, for a [proxy](../how-to/proxies.md). `0`:"
    " none; the console answers at `CLIPPER_PORT` in any case, and over HTTP at the Unix socket"
    " `$CLIPPER_RUN_DIR/console-http.sock`.",
    "DATABASE_URL": "Database of the registry and the feedback. A PostgreSQL socket:"
    " `postgres://user@%2Fvar%2Frun%2Fpostgresql/name`.",
    "REDIS_URL": "`redis://`, `rediss://` or `unix://…?db=0`. Unset, the stack starts a Redis of"
    " its own ([operations](../how-to/operations.md#redis)).",
}

SIZE = {
    "CLIPPER_WEB_WORKERS": "Processes that answer queries. Each has its own cache and its own"
    " connections to the replicas.",
    "CLIPPER_CONSOLE_WORKERS": "Processes of the console: its pages, REST management, uploads,"
    " `/metrics`.",
    "CLIPPER_CONSOLE_NICE": "Niceness of the console's processes, up to 19.",
    "CLIPPER_COMPILED": "`1`: processes that answer queries use the [compiled"
    " code](../how-to/operations.md#compiled-code), if there is any of these sources. `0`: they"
    " run the Python.",
    "CLIPPER_CPU_SLOTS": "Replicas that the stack's CPU worker can hold at once, one per slot.",
    "CLIPPER_PRELOAD_SKLEARN": "`1`: the process that forks models' processes imports scikit-learn,"
    " so replicas share its memory and start a second sooner. `0` if no version needs it.",
    "CLIPPER_GPU_SLOTS": "Replicas that the stack's GPU worker can hold at once, one per device;"
    " `0`: no such [worker](../explanation/cluster.md#workers).",
    "CLIPPER_RETIRE_S": "Seconds that a worker which gets SIGTERM waits until its replicas have"
    " moved to other workers, some three seconds for each. The rest answer what they have, within"
    " 10 s more. `0`: none moves.",
    "CLIPPER_WORKER_NICE": "Niceness of the stack's workers and their replicas, up to 19.",
    "CLIPPER_CACHE_BYTES": "Size of the prediction cache of each predict process; 16 MiB hold about"
    " 65,000 labels. An answer larger than a sixteenth of it (at least 64 KiB) isn't kept. `0`"
    " turns it off.",
    "CLIPPER_QUEUE_CAPACITY": "Queries that may wait for one replica in one web process. One more"
    " is refused at once ([overload](../how-to/predictions.md#overload)).",
    "CLIPPER_QUEUE_BYTES": "Bytes of input that these queries may hold together. A query beyond it"
    " is refused, or takes the place of one whose application holds more than its share.",
    "CLIPPER_OUTPUTS_BYTES": "Memory in Redis for outputs that are too large for a"
    " [receipt](../how-to/predictions.md#receipts). Beyond it, those that would expire first are"
    " dropped.",
    "CLIPPER_CONTEXTS_AT_HAND": "[Contexts](../explanation/policies.md#contexts) that each web"
    " process remembers, some 2 to 4 KB each with five arms. Others are answered by what is known"
    " for everybody at first.",
    "CLIPPER_REDIS_REPLICAS": "Replicas of Redis that must have feedback before it is acknowledged"
    " ([replicas](../how-to/operations.md#replicas-of-redis)).",
    "CLIPPER_REDIS_MAX_BYTES": "`maxmemory` of the stack's own Redis, at least 67108864 (64 MiB)"
    " ([keys](../how-to/operations.md#what-redis-keeps)).",
    "CLIPPER_MAX_ARTIFACT_BYTES": "Size of the largest artifact that can be uploaded.",
    "CLIPPER_UPLOADS_AT_ONCE": "Uploads under way in one process of the console; one more is"
    " `saturated`.",
    "CLIPPER_MIN_FREE_BYTES": "Room that an upload must leave on the disk of `CLIPPER_VAR`, else it"
    " is `insufficient_storage`.",
}

TIME = {
    "CLIPPER_LAME_DUCK_S": "Seconds, at most 60, for which a process that answers queries goes on"
    " accepting connections after SIGTERM, while `GET /health/serving` says 503 ([several"
    " hosts](../how-to/proxies.md#several-hosts)). A restart doesn't wait for it.",
    "CLIPPER_HUNG_S": "Seconds after which a batch counts as hung: its replica is ended and"
    " replaced.",
    "CLIPPER_CHECKS_AT_ONCE": "Versions that are tried out at once, up to 4; `0`: 4. Fewer run if"
    " together they may take more than half of the available memory"
    " ([deploys](../explanation/cluster.md#what-a-deploy-takes-from-others)).",
    "CLIPPER_REACHED_S": "Seconds that web processes have to reach a release's replicas once one is"
    " ready; then the release has failed.",
    "CLIPPER_WARM_SECONDS": "Seconds for which the replicas of a replaced version are kept for a"
    " rollback.",
    "CLIPPER_MAX_BODY_BYTES": "Largest body of a prediction or feedback request; a larger one is"
    " `body_too_large`.",
    "CLIPPER_HEAD_TIMEOUT_S": "Seconds within which the head of a request has to arrive; then it is"
    " `request_timeout`.",
    "CLIPPER_BODY_TIMEOUT_S": "Seconds within which a body has to arrive, or else to bring"
    " `CLIPPER_BODY_RATE` bytes per second; else it is `request_timeout`.",
    "CLIPPER_BODY_RATE": "Bytes per second that a body must bring once it takes longer than"
    " `CLIPPER_BODY_TIMEOUT_S`.",
    "CLIPPER_AUTHENTICATION_TIMEOUT_S": "Seconds within which a websocket has to name a key; then"
    " it is closed.",
    "CLIPPER_UNFINISHED_BYTES": "Memory of each web process for requests and websocket messages"
    " that haven't arrived as a whole; more is `saturated`.",
    "CLIPPER_LOG_LEVEL": "Least level that is logged.",
}

ENVIRONMENTS = {
    "CLIPPER_PIP_INDEX_URL": "Index of packages. It may hold a user and a password, which no log"
    " and no model sees.",
    "CLIPPER_PIP_WHEELHOUSE": "A folder of wheels on each host, or the URL of a page that links to"
    " some.",
    "CLIPPER_PIP_NO_INDEX": "`1`: packages come from that folder alone.",
    "CLIPPER_PIP_SOURCES": "`1`: a package without a wheel is built from its source, which runs its"
    " code ([security](../explanation/security.md#what-a-versions-packages-may-do)).",
    "CLIPPER_PIP_URLS": "`1`: requirements may name packages by URL (`https://`, `git+https://`,"
    " `git+ssh://`), too.",
    "CLIPPER_ENVIRONMENT_BUILD_S": "Seconds that building one may take.",
    "CLIPPER_ENVIRONMENT_BYTES": "Size of the largest one.",
    "CLIPPER_ENVIRONMENT_BUILDS": "How many a host builds at once.",
    "CLIPPER_ENVIRONMENTS_KEPT": "How many a host keeps; beyond it unneeded ones go, the one used"
    " least recently first.",
    "CLIPPER_ENVIRONMENTS_BYTES": "Size of all that a host keeps, likewise.",
    "UV_CACHE_DIR": "Where uv keeps the wheels that it has fetched, for all stacks of a user.",
}

ARTIFACTS = {
    "CLIPPER_S3_BUCKET": "Bucket for the artifacts ([S3](../how-to/operations.md#artifacts-in-s3))."
    " Needs `requirements-s3.txt`; credentials come from the usual variables of AWS.",
    "CLIPPER_S3_ENDPOINT": "Address of the server, such as `https://minio.example.com:9000`.",
    "CLIPPER_S3_REGION": "Region of the bucket.",
    "CLIPPER_S3_PREFIX": "Prefix of the names of all artifacts in the bucket.",
    "CLIPPER_ARTIFACTS_BACKEND": "Any other [storage of"
    " Django](https://docs.djangoproject.com/en/5.2/topics/files/), by its class:"
    " `storages.backends.gcloud.GoogleCloudStorage`.",
    "CLIPPER_ARTIFACTS_OPTIONS": 'Its options, a JSON object: `{"bucket_name": "models"}`.',
    "CLIPPER_ARTIFACTS_URL": "Addresses of the web processes, separated by commas, on a host that"
    " [fetches artifacts](../how-to/operations.md#artifacts-on-several-hosts) from them.",
    "CLIPPER_ARTIFACT_COPIES_BYTES": "Size of the artifacts that a host has fetched"
    " (`$CLIPPER_VAR/artifact-copies`). The least lately used go first.",
    "CLIPPER_FETCH_TIMEOUT_S": "Seconds that fetching one artifact may take. Without any data for"
    " 30 s it is given up and continued later.",
    "CLIPPER_ARTIFACTS_AT_ONCE": "Hosts that one process of the console sends artifacts to at a"
    " time; others wait.",
}

HOSTS = {
    "CLIPPER_ADVERTISE_HOST": "Name or IP address at which other hosts reach this one. If it is"
    " set, the replicas of this host listen on TCP.",
    "CLIPPER_BIND_HOST": "Address that they listen on, if it is another one: `0.0.0.0` for all.",
    "CLIPPER_REPLICA_PORTS": "Ports that they listen on, such as `20000-20100`; each replica takes"
    " the first that is free.",
    "CLIPPER_CLUSTER_SECRET": "Secret of at least 32 characters (`clipper.E003`), the same on every"
    " host. Web processes and replicas prove it to each other over TCP, and it seals the"
    " [directory of replicas](../explanation/security.md#what-a-models-code-may-do).",
    "CLIPPER_TLS_CERT": "Certificate of the replicas of this host, PEM.",
    "CLIPPER_TLS_KEY": "Its key, PEM, without a password.",
    "CLIPPER_TLS_CA": "Certificate of the authority that signed theirs. If it is set, web processes"
    " speak TLS with replicas on TCP.",
}

SECURITY = {
    "DJANGO_SECRET_KEY": "Signs sessions and receipts. Without the launcher it must be given"
    " (`clipper.E002`). [Changing it](../how-to/operations.md#changing-the-secret).",
    "DJANGO_SECRET_KEY_PREVIOUS": "The key before this one: feedback on its predictions still"
    " counts.",
    "DJANGO_SECRET_KEY_CHANGED_AT": "When it was replaced, such as `2026-01-31T12:00:00Z`; receipts"
    " that it signed later are refused.",
    "CLIPPER_REMOTE_HOSTS": "[Hosts](../how-to/remote.md#which-hosts) of remote models, separated"
    " by commas: names (`*.example.com` too), `host:port`, addresses, networks; `*` is every"
    " public host.",
    "CLIPPER_ALLOWED_HOSTS": "Host names under which the console and the management API answer,"
    " separated by commas.",
    "CLIPPER_TRUSTED_ORIGINS": "Origins whose forms the console takes behind a proxy, such as"
    " `https://clipper.example.com`.",
    "CLIPPER_HTTPS": "`1` if a proxy terminates TLS and sets `X-Forwarded-Proto`: redirects to"
    " https, secure cookies, HSTS for a year.",
    "CLIPPER_DEBUG": "Django's debug pages. Never where others can reach it.",
}

# The launcher sets these for the processes that it starts, whatever the shell says.
LAUNCHER = {
    "CLIPPER_PYTHON": "The interpreter of `.venv`.",
    "CLIPPER_GPU_WORKER": "`true` where `CLIPPER_GPU_SLOTS` is not 0.",
    "CLIPPER_CONSOLE_LISTENS": "Where the console listens beside its Unix sockets, made of"
    " `CLIPPER_CONSOLE_PORT`.",
    "CLIPPER_CONTROL_PASSWORD": "Password of `supervisorctl` and `make restart`, from"
    " `var/control_password`.",
    "CLIPPER_LISTENING": "The descriptor that listens on the stack's port, which the predict master"
    " inherits.",
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
    "CLIPPER_REDIS_MAX_BYTES": "a quarter of the memory",
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
