from collections.abc import Callable
from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class ClientAnswers:
    def __init__(
        self,
        status_class: Callable[..., Any],
        chunk_class: Callable[..., Any],
        freshness_class: Callable[..., Any],
        file_type: str,
        directory_type: str,
    ) -> None: ...
    def status(self, answer: bytes) -> Any: ...
    def page(self, answer: bytes) -> tuple[list[Any], bool, Any] | None: ...
    def located(self, answer: bytes) -> tuple[Any, tuple[Any, ...]] | None: ...

def split_batch(response: bytes) -> tuple[list[bytes], dict[int, bytes]] | None: ...
