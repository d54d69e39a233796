"""Django settings, read from the environment; `clipper_site.checks` reports what is wrong."""

import hmac
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from clipper_site import ROOT
from clipper_site.settings.addresses import (
    address_towards,
    parse_dialled_host,
    parse_ports,
    parse_remote_hosts,
    parse_tcp_address,
    parse_web_addresses,
)
from clipper_site.settings.artifact_storage import artifact_storage
from clipper_site.settings.env import CHANGE_EXPECTED, Environment, parse_change
from clipper_site.settings.sign_in import identity_provider
from core.specs import JOINED_SETTINGS, OWN_SETTINGS
from serving.rpc.address import AnyAddress, UnixAddress

ENV = Environment()

# --- Where the stack lives -------------------------------------------------------------------
CLIPPER_VAR = Path(ENV.text("CLIPPER_VAR", "var")).absolute()
CLIPPER_RUN_DIR = Path(ENV.text("CLIPPER_RUN_DIR", str(CLIPPER_VAR / "run"))).absolute()
CLIPPER_ARTIFACTS = CLIPPER_VAR / "artifacts"
CLIPPER_ARTIFACT_COPIES = CLIPPER_VAR / "artifact-copies"
# The output of `make docs`, whichever stack of this checkout serves it.
CLIPPER_DOCS = ROOT / "build" / "docs"
CLIPPER_REPLICA_LOGS = CLIPPER_VAR / "log" / "replicas"
CLIPPER_HOST = ENV.text("CLIPPER_HOST", "127.0.0.1")
CLIPPER_PORT = ENV.whole("CLIPPER_PORT", default=8000, at_least=1)
CLIPPER_WEB_WORKERS = ENV.whole("CLIPPER_WEB_WORKERS", default=1, at_least=1)
# Processes that answer queries read it themselves, before they import this.
CLIPPER_COMPILED = ENV.flag("CLIPPER_COMPILED", default=True)
CLIPPER_CPU_SLOTS = ENV.whole("CLIPPER_CPU_SLOTS", default=12, at_least=1)
CLIPPER_PRELOAD_SKLEARN = ENV.flag("CLIPPER_PRELOAD_SKLEARN", default=True)
CLIPPER_GPU_SLOTS = ENV.whole("CLIPPER_GPU_SLOTS", default=0)
CLIPPER_RETIRE_S = ENV.whole("CLIPPER_RETIRE_S", default=20)
CLIPPER_WORKER_NICE = ENV.whole("CLIPPER_WORKER_NICE", default=5)
CLIPPER_CONSOLE_WORKERS = ENV.whole("CLIPPER_CONSOLE_WORKERS", default=1, at_least=1)
CLIPPER_CONSOLE_NICE = ENV.whole("CLIPPER_CONSOLE_NICE", default=10)
# Five less doubles what a deploy adds to the slowest queries at 70 % of capacity.
CLIPPER_CHECK_NICE = ENV.whole("CLIPPER_CHECK_NICE", default=19)
# 0: it is reached by way of the processes that answer queries, and over a Unix socket.
CLIPPER_CONSOLE_PORT = ENV.whole("CLIPPER_CONSOLE_PORT", default=0)
# Where the processes that answer queries pass on what they have no answer for.
CLIPPER_CONSOLE_ADDRESS: AnyAddress = ENV.parsed(
    "CLIPPER_CONSOLE_ADDRESS",
    default=None,
    parse=parse_tcp_address,
    expected="tcp:host:port, at which the console is reached",
) or UnixAddress(CLIPPER_RUN_DIR / "console-http.sock")

# --- How it behaves --------------------------------------------------------------------------
CLIPPER_MAX_BODY_BYTES = ENV.whole("CLIPPER_MAX_BODY_BYTES", default=16 << 20, at_least=1024)
CLIPPER_HEAD_TIMEOUT_S = ENV.whole("CLIPPER_HEAD_TIMEOUT_S", default=20, at_least=1)
CLIPPER_BODY_TIMEOUT_S = ENV.whole("CLIPPER_BODY_TIMEOUT_S", default=30, at_least=1)
CLIPPER_BODY_RATE = ENV.whole("CLIPPER_BODY_RATE", default=1024, at_least=1)
CLIPPER_AUTHENTICATION_TIMEOUT_S = ENV.whole(
    "CLIPPER_AUTHENTICATION_TIMEOUT_S", default=10, at_least=1
)
CLIPPER_UNFINISHED_BYTES = ENV.whole(
    "CLIPPER_UNFINISHED_BYTES",
    default=max(128 << 20, CLIPPER_MAX_BODY_BYTES),
    # A body of the largest size has to fit, or none would ever arrive.
    at_least=CLIPPER_MAX_BODY_BYTES,
)
CLIPPER_MAX_ARTIFACT_BYTES = ENV.whole("CLIPPER_MAX_ARTIFACT_BYTES", default=2 << 30, at_least=1024)
CLIPPER_CONTEXTS_AT_HAND = ENV.whole("CLIPPER_CONTEXTS_AT_HAND", default=4096, at_least=64)
CLIPPER_REDIS_REPLICAS = ENV.whole("CLIPPER_REDIS_REPLICAS", default=0)
CLIPPER_OUTPUTS_BYTES = ENV.whole("CLIPPER_OUTPUTS_BYTES", default=256 << 20, at_least=1 << 20)
# The launcher's: of Redis, where it is the stack's own.
CLIPPER_REDIS_MAX_BYTES = ENV.whole("CLIPPER_REDIS_MAX_BYTES", default=0)
CLIPPER_UPLOADS_AT_ONCE = ENV.whole("CLIPPER_UPLOADS_AT_ONCE", default=4, at_least=1)
CLIPPER_MIN_FREE_BYTES = ENV.whole("CLIPPER_MIN_FREE_BYTES", default=256 << 20)
CLIPPER_CACHE_BYTES = ENV.whole("CLIPPER_CACHE_BYTES", default=16 << 20)
CLIPPER_WARM_SECONDS = ENV.whole("CLIPPER_WARM_SECONDS", default=600)
CLIPPER_VERSIONS_KEPT = ENV.whole("CLIPPER_VERSIONS_KEPT", default=0, at_most=1000)
CLIPPER_LAME_DUCK_S = ENV.whole("CLIPPER_LAME_DUCK_S", default=8, at_most=60)
CLIPPER_HUNG_S = ENV.whole("CLIPPER_HUNG_S", default=60, at_least=1)
CLIPPER_REACHED_S = ENV.whole("CLIPPER_REACHED_S", default=30, at_least=1)
CLIPPER_CHECKS_AT_ONCE = ENV.whole("CLIPPER_CHECKS_AT_ONCE", default=4, at_least=1, at_most=4)
CLIPPER_QUEUE_CAPACITY = ENV.whole("CLIPPER_QUEUE_CAPACITY", default=10_000, at_least=1)
CLIPPER_QUEUE_BYTES = ENV.whole("CLIPPER_QUEUE_BYTES", default=64 << 20, at_least=1024)

# --- Environments of versions ----------------------------------------------------------------
CLIPPER_ENVIRONMENTS = CLIPPER_VAR / "environments"
CLIPPER_ENVIRONMENTS_KEPT = ENV.whole("CLIPPER_ENVIRONMENTS_KEPT", default=20, at_least=1)
CLIPPER_ENVIRONMENTS_BYTES = ENV.whole("CLIPPER_ENVIRONMENTS_BYTES", default=32 << 30)
CLIPPER_ENVIRONMENT_BYTES = ENV.whole("CLIPPER_ENVIRONMENT_BYTES", default=8 << 30)
CLIPPER_ENVIRONMENT_BUILD_S = ENV.whole("CLIPPER_ENVIRONMENT_BUILD_S", default=900, at_least=1)
CLIPPER_ENVIRONMENT_BUILDS = ENV.whole("CLIPPER_ENVIRONMENT_BUILDS", default=1, at_least=1)
CLIPPER_PIP_INDEX_URL = ENV.text("CLIPPER_PIP_INDEX_URL")
CLIPPER_PIP_WHEELHOUSE = ENV.text("CLIPPER_PIP_WHEELHOUSE")
CLIPPER_PIP_NO_INDEX = ENV.flag("CLIPPER_PIP_NO_INDEX", default=False)
CLIPPER_PIP_SOURCES = ENV.flag("CLIPPER_PIP_SOURCES", default=False)
CLIPPER_PIP_URLS = ENV.flag("CLIPPER_PIP_URLS", default=False)
UV_CACHE_DIR = ENV.text("UV_CACHE_DIR")

# --- Replicas of several hosts ---------------------------------------------------------------
# Unset, replicas are reached over Unix sockets, on this host.
CLIPPER_ADVERTISE_HOST = ENV.parsed(
    "CLIPPER_ADVERTISE_HOST",
    default="",
    parse=parse_dialled_host,
    expected="a host name or IP address at which other hosts reach this one",
)
if CLIPPER_ADVERTISE_HOST == "auto":
    try:
        CLIPPER_ADVERTISE_HOST = address_towards(ENV.text("REDIS_URL"))
    except (OSError, ValueError) as error:
        # Nobody would reach replicas at a default.
        raise ImproperlyConfigured(
            f"CLIPPER_ADVERTISE_HOST=auto finds no address that reaches that of REDIS_URL: {error}"
        ) from error
CLIPPER_BIND_HOST = ENV.text("CLIPPER_BIND_HOST") or CLIPPER_ADVERTISE_HOST
CLIPPER_REPLICA_PORTS = ENV.parsed(
    "CLIPPER_REPLICA_PORTS",
    default=range(1),  # any port
    parse=parse_ports,
    expected="a range of ports such as 20000-20100",
)
CLIPPER_ARTIFACTS_URL: tuple[str, ...] = ENV.parsed(
    "CLIPPER_ARTIFACTS_URL",
    default=(),
    parse=parse_web_addresses,
    expected="addresses of web processes such as https://clipper.example.com, separated by commas",
)
CLIPPER_ARTIFACT_COPIES_BYTES = ENV.whole(
    "CLIPPER_ARTIFACT_COPIES_BYTES", default=16 << 30, at_least=1 << 20
)
CLIPPER_FETCH_TIMEOUT_S = ENV.whole("CLIPPER_FETCH_TIMEOUT_S", default=1800, at_least=1)
CLIPPER_ARTIFACTS_AT_ONCE = ENV.whole("CLIPPER_ARTIFACTS_AT_ONCE", default=4, at_least=1)
CLIPPER_TLS_CERT = ENV.text("CLIPPER_TLS_CERT")
CLIPPER_TLS_KEY = ENV.text("CLIPPER_TLS_KEY")
CLIPPER_TLS_CA = ENV.text("CLIPPER_TLS_CA")

# --- Security --------------------------------------------------------------------------------
CLIPPER_REMOTE_HOSTS = ENV.parsed(
    "CLIPPER_REMOTE_HOSTS",
    default="",
    parse=parse_remote_hosts,
    expected="names, host:port, addresses or networks, separated by commas",
)
CLIPPER_ALERT_HOSTS = ENV.parsed(
    "CLIPPER_ALERT_HOSTS",
    default="*",
    parse=parse_remote_hosts,
    expected="names, host:port, addresses or networks, separated by commas",
)
CLIPPER_OIDC = identity_provider(ENV)
# The server by which alerts are mailed, by Django's names.
EMAIL_HOST = ENV.text("EMAIL_HOST")
EMAIL_PORT = ENV.whole("EMAIL_PORT", default=587, at_least=1)
EMAIL_HOST_USER = ENV.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = ENV.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = ENV.flag("EMAIL_USE_TLS", default=True)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = ENV.text("DEFAULT_FROM_EMAIL", "clipper@localhost")
DEBUG = ENV.flag("CLIPPER_DEBUG", default=False)
# Without a key a random one serves for this process alone; clipper.E002 says so, because
# sessions and receipts signed with it die with the process.
SECRET_KEY = ENV.text("DJANGO_SECRET_KEY") or secrets.token_urlsafe(48)
SECRET_KEY_GIVEN = bool(ENV.text("DJANGO_SECRET_KEY"))
# For receipts alone: sessions end with their key.
SECRET_KEY_PREVIOUS = ENV.text("DJANGO_SECRET_KEY_PREVIOUS")
SECRET_KEY_CHANGED_AT = ENV.parsed(
    "DJANGO_SECRET_KEY_CHANGED_AT", default=None, parse=parse_change, expected=CHANGE_EXPECTED
)
if SECRET_KEY_PREVIOUS and not ENV.given("DJANGO_SECRET_KEY_CHANGED_AT"):
    ENV.reject("DJANGO_SECRET_KEY_CHANGED_AT", expected=CHANGE_EXPECTED)
# The secret by which web processes and replicas know each other over TCP.
CLIPPER_CLUSTER_SECRET = (
    ENV.text("CLIPPER_CLUSTER_SECRET")
    or hmac.digest(SECRET_KEY.encode(), b"clipper.cluster", "sha256").hex()
)
CLIPPER_JOIN_SECRETS = {
    name: ENV.source[name] for name in (*JOINED_SETTINGS, *OWN_SETTINGS) if ENV.given(name)
} | {"CLIPPER_CLUSTER_SECRET": CLIPPER_CLUSTER_SECRET}
OWN_HOST = f"[{CLIPPER_HOST}]" if ":" in CLIPPER_HOST else CLIPPER_HOST
ALLOWED_HOSTS = ENV.names(
    "CLIPPER_ALLOWED_HOSTS",
    default=",".join(dict.fromkeys(("localhost", "127.0.0.1", "[::1]", OWN_HOST))),
)
CSRF_TRUSTED_ORIGINS = ENV.names("CLIPPER_TRUSTED_ORIGINS", default="")
HTTPS = ENV.flag("CLIPPER_HTTPS", default=False)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
X_FRAME_OPTIONS = "DENY"
# Two stacks on one host must not log each other out: cookies know no ports.
SESSION_COOKIE_NAME = f"clipper_session_{CLIPPER_PORT}"
CSRF_COOKIE_NAME = f"clipper_csrf_{CLIPPER_PORT}"

# --- Django ----------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "clipper_site.apps.LazyAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "guardian",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "registry.apps.RegistryConfig",
    "selection.apps.SelectionConfig",
    "serving.apps.ServingConfig",
    "serving.traffic.apps.TrafficConfig",
    "serving.capture.apps.CaptureConfig",
    "serving.alerts.apps.AlertsConfig",
    "console.apps.ConsoleConfig",
    "clipper_site.apps.ClipperSiteConfig",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "clipper_site.delivery.CompressedText",
    # Around all that may answer with a page, be it that a session can't be kept.
    "clipper_site.security.content_security.ContentSecurityPolicy",
    "clipper_site.security.sessions.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
if CLIPPER_OIDC is not None:
    INSTALLED_APPS[:0] = ["allauth.account", "allauth.socialaccount"]
    MIDDLEWARE.append("allauth.account.middleware.AccountMiddleware")
    SOCIALACCOUNT_ADAPTER = "console.sign_in.oidc_client.ProviderAdapter"
ROOT_URLCONF = "clipper_site.urls"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
AUTHENTICATION_BACKENDS = ["registry.security.grants.RoleBackend"]
# It reads guardian's rows itself: a role for chosen applications is one row for each of them.
SILENCED_SYSTEM_CHECKS = ["guardian.W001"]
ANONYMOUS_USER_NAME = None
GUARDIAN_MONKEY_PATCH_USER = GUARDIAN_MONKEY_PATCH_GROUP = False
PASSWORD_HASHERS = ["clipper_site.security.passwords.Argon2InTurn"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
# A new API key is shown in a message: it stays on the server until it is seen, not in a cookie.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
LOGIN_URL = "admin:login"
CSRF_FAILURE_VIEW = "registry.api.error_shape.csrf_failure"
LOGIN_REDIRECT_URL = "admin:index"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
STATIC_ROOT = CLIPPER_VAR / "static"
STATICFILES_DIRS = [ROOT / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "clipper_site.delivery.HashedFiles"},
    "artifacts": artifact_storage(ENV),
}
# A body that isn't an upload is never so large that Django would keep it on disk: its sender is
# looked at only afterwards.
DATA_UPLOAD_MAX_MEMORY_SIZE = FILE_UPLOAD_MAX_MEMORY_SIZE = 2 << 20
FILE_UPLOAD_HANDLERS = ["registry.api.upload_handler.ArtifactUploadHandler"]


# --- Database --------------------------------------------------------------------------------
def database_of(url: str) -> dict[str, Any]:
    return _tuned(dict(dj_database_url.parse(url)))


def _tuned(config: dict[str, Any]) -> dict[str, Any]:
    if config["ENGINE"] == "django.db.backends.sqlite3":
        # Web, workers and control all write: WAL lets readers go on meanwhile, IMMEDIATE takes
        # the write lock at BEGIN so that the busy timeout applies, instead of failing midway, and
        # FULL keeps a commit through a power cut: feedback has left Redis by then.
        config["OPTIONS"] = {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        }
    else:
        config["CONN_HEALTH_CHECKS"] = True
    return config


DATABASES = {
    "default": ENV.parsed(
        "DATABASE_URL",
        # No URL: the path may contain what means something else in one.
        default=_tuned(
            {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(CLIPPER_VAR / "clipper.sqlite3"),
            }
        ),
        parse=database_of,
        expected="a database URL such as postgres://user:password@host/name or sqlite:////path",
    )
}

# --- Redis: broker, directory, selection state, feedback stream -----------------
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
REDIS_URL = ENV.text("REDIS_URL") or f"unix://{quote(str(CLIPPER_RUN_DIR))}/redis.sock?db=0"
if not REDIS_URL.startswith(REDIS_SCHEMES):
    ENV.reject("REDIS_URL", expected="a URL that starts with redis://, rediss:// or unix://")

# --- Celery: the cluster engine ----------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://").replace(
    "?db=", "?virtual_host="
)
# A Redis that is silent (frozen, or behind a cut link) closes no connection: without these a worker
# waits for it for ever, while the others go on with the Redis that has taken its place.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 2.0,
    "socket_connect_timeout": 2.0,
    "health_check_interval": 3,
    "retry_on_timeout": True,
}
# Nobody commands workers through Celery. One that subscribes to commands waits for them for ever if
# Redis was restarted before the worker saw that it had ended.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "control"
# Celery's default too, kept as a decision: whoever can write to Redis must not be able to have a
# pickle loaded, which may run any code.
CELERY_ACCEPT_CONTENT = ["json"]
# A worker with all slots taken would hoard the next replica tasks; they belong to the next worker.
CELERY_WORKER_DISABLE_PREFETCH = True
# A replica's memory is gone with its process: each one gets a fresh fork.
CELERY_WORKER_MAX_TASKS_PER_CHILD = 1
# On a loaded machine a fork takes longer to come up than Celery's 4 s, and would be killed for it.
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 30.0
CELERY_BROKER_CONNECTION_MAX_RETRIES = None

# --- REST management ---------------------------------------------------------------------------
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "registry.api.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["registry.api.permissions.MayManage"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "registry.api.openapi.Schema",
    "EXCEPTION_HANDLER": "registry.api.error_shape.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Clipper",
    "DESCRIPTION": "Low-latency prediction serving with a closed feedback loop.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "registry.api.openapi.add_errors",
        "registry.api.openapi.let_clients_choose",
        "registry.api.openapi.let_any_json_be_null",
        "serving.endpoints.management.prediction_schema.add_predictions",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- Logs --------------------------------------------------------------------------------------
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {
        "handlers": ["stderr"],
        "level": ENV.one_of("CLIPPER_LOG_LEVEL", default="INFO", choices=LOG_LEVELS),
    },
}

from console.theme import UNFOLD  # noqa: E402, F401  (the admin's look and navigation)
