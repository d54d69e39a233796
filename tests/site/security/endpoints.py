"""The management API's endpoints, each as it is asked about what is a stranger's."""

from typing import Any, NamedTuple

DIGEST = "0" * 64
# Bodies that are no JSON, by what they are.
UPLOAD, PIECE = "upload", "piece"
ROUTES = [{"model": "ocr"}]
REMOTE = {"version": "8", "runtime": "remote", "url": "http://10.1.1.1/", "protocol": "mlflow"}

CHANNEL = {"name": "new", "kind": "chat", "target": "https://8.8.8.8/"}


class Endpoint(NamedTuple):
    """One method of one URL, as it is asked about what is a stranger's."""

    method: str
    path: str
    body: Any = None

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


# The application `letters` and its model `ocr` are a stranger's to the owner of `digits`.
ENDPOINTS = [
    Endpoint("GET", "applications/"),
    Endpoint("POST", "applications/", {"name": "fresh", "input_type": "doubles", "slo_ms": 50}),
    Endpoint("GET", "applications/letters"),
    Endpoint("PUT", "applications/letters", {"description": "mine"}),
    Endpoint("PATCH", "applications/letters", {"description": "mine"}),
    Endpoint("DELETE", "applications/letters"),
    Endpoint("GET", "applications/letters/slo"),
    Endpoint("PATCH", "applications/letters/slo", {"latency_ms": 20}),
    Endpoint("GET", "applications/letters/routes"),
    Endpoint("PUT", "applications/letters/routes", ROUTES),
    Endpoint("GET", "applications/letters/contexts/"),
    Endpoint("DELETE", "applications/letters/selection?all=true"),
    Endpoint("GET", "applications/letters/schema"),
    Endpoint("GET", "applications/letters/health"),
    Endpoint("GET", "applications/letters/selection/history"),
    Endpoint("GET", "applications/letters/export"),
    Endpoint("GET", "applications/letters/plan?gain=0.1"),
    Endpoint("GET", "applications/letters/slo/status"),
    Endpoint("GET", "applications/letters/traffic"),
    Endpoint("POST", "applications/letters/what-if", {}),
    Endpoint("GET", "models/"),
    Endpoint("POST", "models/", {"name": "new", "input_type": "doubles"}),
    Endpoint("GET", "applications/letters/captured-sets/"),
    Endpoint("POST", "applications/letters/captured-sets/", {"name": "golden"}),
    Endpoint("DELETE", "applications/letters/captured-sets/golden"),
    Endpoint("DELETE", "applications/letters/captured?key=ada"),
    Endpoint("GET", "models/ocr"),
    Endpoint("PUT", "models/ocr", {"description": "mine"}),
    Endpoint("PATCH", "models/ocr", {"description": "mine"}),
    Endpoint("DELETE", "models/spare"),
    Endpoint("GET", "models/ocr/versions/"),
    Endpoint("POST", "models/ocr/versions/", UPLOAD),
    Endpoint("POST", "models/ocr/versions/", REMOTE),
    Endpoint("GET", "models/ocr/versions/1"),
    Endpoint("PATCH", "models/ocr/versions/1", {"notes": "mine"}),
    Endpoint("DELETE", "models/ocr/versions/3"),
    Endpoint("POST", "models/ocr/versions/3/deploy", {}),
    Endpoint("POST", "models/ocr/rollback", {}),
    Endpoint("POST", "models/ocr/scale", {"replicas": 2}),
    Endpoint("GET", "models/ocr/releases/"),
    Endpoint("GET", "models/ocr/releases/{release}"),
    Endpoint("GET", "models/ocr/rollouts/"),
    Endpoint("GET", "models/ocr/rollouts/{rollout}"),
    Endpoint("POST", "models/ocr/rollouts/{rollout}", {"action": "pause"}),
    Endpoint("GET", "rollout-plans/"),
    Endpoint("GET", "rollout-plans/{plan}"),
    Endpoint("PUT", "rollout-plans/{plan}", {"steps": [{"percent": 1}]}),
    Endpoint("DELETE", "rollout-plans/{plan}"),
    Endpoint("GET", "replicas/"),
    Endpoint("GET", "environments/"),
    Endpoint("GET", "environments/nowhere/log"),
    Endpoint("POST", "declarations/check", {"steps": []}),
    Endpoint("GET", f"uploads/{DIGEST}"),
    Endpoint("PUT", f"uploads/{DIGEST}", PIECE),
    Endpoint("GET", "audit/"),
    Endpoint("GET", "alerts/"),
    Endpoint("GET", "alerts/{alert}"),
    Endpoint("PATCH", "alerts/{alert}", {"muted_until": None}),
    Endpoint("GET", "alert-channels/"),
    Endpoint("POST", "alert-channels/", CHANNEL),
    Endpoint("PATCH", "alert-channels/{channel}", {"name": "mine"}),
    Endpoint("DELETE", "alert-channels/{channel}"),
    Endpoint("POST", "alert-channels/{channel}/test"),
    Endpoint("GET", "timeline/"),
    Endpoint("GET", "keys/"),
    Endpoint("POST", "keys/", {"name": "new", "scopes": ["predict"]}),
    Endpoint("GET", "keys/{key}"),
    Endpoint("PATCH", "keys/{key}", {"name": "mine"}),
    Endpoint("DELETE", "keys/{key}"),
    Endpoint("GET", "models/ocr/compare?v=1&v=3"),
    Endpoint("GET", "models/ocr/versions/1/rollout-history?application=letters&against=2"),
    Endpoint("GET", "models/ocr/versions/1/replays/"),
    Endpoint("POST", "models/ocr/versions/1/replays/", {"application": "letters"}),
    Endpoint("GET", "models/ocr/versions/1/replays/{replay}"),
    Endpoint("POST", "models/ocr/versions/1/replays/{replay}", {"action": "cancel"}),
    Endpoint("GET", "models/ocr/versions/1/errors"),
    Endpoint("GET", "models/ocr/versions/1/log"),
    Endpoint("GET", "replicas/r1/log"),
]
# By POST, as the question is long.
ONLY_READ = ("declarations/check",)
# What everybody has of their own, where they may upload at all.
OWN = (f"uploads/{DIGEST}",)
