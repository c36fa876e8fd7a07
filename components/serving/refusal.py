"""Refusal: why a request is not answered as asked, in words for the person who sent it."""


class Refusal(RuntimeError):  # noqa: N818 - nothing of ours is wrong
    """A request that is refused, with its HTTP status. The words name no path and no machine."""

    def __init__(self, status: int, words: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(words)
        self.status = status
        self.headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
