"""Operations of several requests: coroutines over a `Server`, for both clients."""
