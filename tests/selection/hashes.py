"""A state's hash in Redis as the script of feedback would have written it."""

from redis.typing import EncodableT, FieldT

from selection.store.redis_keys import pack_vector


def log_weights(**weights: float) -> dict[FieldT, EncodableT]:
    """Fields of log-weights, by model; svm has version 2, every other one version 1."""
    return {
        f"log:{model}:{2 if model == 'svm' else 1}": pack_vector((weight,))
        for model, weight in weights.items()
    }


def rewards(arm: str, *, seen: float, mean: float) -> dict[FieldT, EncodableT]:
    """The field of an arm's rewards: so many were seen, all of them this."""
    return {f"rew:{arm}": pack_vector((seen, seen * mean, seen * mean * mean))}
