"""Errors for many waiting callers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from pydfsnode.errors import PydfsError


def refuse(futures: Iterable[asyncio.Future[Any]], error: PydfsError) -> None:
    """Fail those of *futures* that still wait, each with its own copy of *error*.

    A shared exception would gather the tracebacks of all who await it.
    """
    for future in futures:
        if not future.done():
            future.set_exception(type(error)(error.message, **error.fields))
