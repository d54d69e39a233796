"""The Redis client of a web process's event loop."""

from redis.asyncio import BlockingConnectionPool, Redis

REDIS_CONNECTIONS = 32


def bounded_redis(url: str) -> Redis:
    """Return a client whose callers share a few connections, waiting for one if need be.

    Unbounded, a burst of feedback would open a connection each, and overrun Redis' backlog.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=REDIS_CONNECTIONS,
        timeout=5.0,
        socket_timeout=5.0,
        socket_connect_timeout=2.0,
    )
    return Redis.from_pool(pool)
