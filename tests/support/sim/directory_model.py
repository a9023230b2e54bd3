"""One directory as its clients know it: what lies in it, and what its snapshots hold."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

Held = tuple[str, str, str]
"""Kind (open, small, dir, tree), owner, content of a small file. A tree is a directory that holds
something."""
Names = tuple[tuple[str, Held], ...]
State = tuple[Names, tuple[tuple[str, Names], ...], bool]

READS = ("stat", "read")
_DIRECTORIES = ("dir", "tree")


def past(snapshot: str, name: str) -> str:
    """The name of *name* as *snapshot* holds it."""
    return f".snapshot/{snapshot}/{name}"


class Directory:
    """The model; a state is (names, snapshots, whether the directory was ever made).

    Calls, by their first part: create, mkdir, grow (name, owner); put (name, owner, content,
    overwrite); delete, trash, touch, busy (name); rename (source, destination, overwrite); chown
    (name, owner); snap, unsnap (snapshot); expunge; stat, read (name or `past`). Results: "ok",
    "absent", "exists", or what is read: the owner; the content, "dir"; None where nothing is.
    busy is what a put becomes that was refused since the file is being written.
    """

    initial: Hashable = ((), (), False)

    def step(self, state: State, call: tuple[Any, ...]) -> tuple[Hashable, Any]:
        """See `linearizability.Model.step`."""
        names, snapshots, _ = state
        verb = call[0]
        if verb in READS:
            return state, _seen(names, snapshots, verb, call[1])
        if verb in ("snap", "unsnap"):
            return _snapshot(state, verb, call[1])
        if verb == "expunge":
            return state, "ok"
        changed = dict(names)
        result = _CHANGES[verb](changed, call)
        if result not in ("absent", "exists", "free") and verb not in ("touch", "busy"):
            return (tuple(sorted(changed.items())), snapshots, True), result
        return state, result


def _seen(names: Names, snapshots: Any, verb: str, name: str) -> str | None:
    if name.startswith(".snapshot/"):
        _, snapshot, name = name.split("/")
        names = dict(snapshots).get(snapshot, ())
    for found, (kind, owner, content) in names:
        if found == name:
            if verb == "stat":
                return owner
            return "dir" if kind in _DIRECTORIES else content
    return None


def _snapshot(state: State, verb: str, snapshot: str) -> tuple[State, str]:
    names, snapshots, is_made = state
    held = dict(snapshots)
    if verb == "snap":
        if not is_made or snapshot in held:
            return state, "exists" if is_made else "absent"
        held[snapshot] = names
    elif held.pop(snapshot, None) is None:
        return state, "absent"
    return (names, tuple(sorted(held.items())), is_made), "ok"


Changed = dict[str, Held]
Call = tuple[Any, ...]


def _create(names: Changed, call: Call) -> str:
    if call[1] in names:
        return "exists"
    names[call[1]] = ("open", call[2], "")
    return "ok"


def _put(names: Changed, call: Call) -> str:
    _, name, owner, content, overwrite = call
    held = names.get(name)
    if held is not None and (held[0] in _DIRECTORIES or not overwrite):
        return "exists"
    names[name] = ("small", owner, content)
    return "ok"


def _busy(names: Changed, call: Call) -> str:
    held = names.get(call[1])
    return "busy" if held is not None and held[0] == "open" else "free"


def _mkdir(names: Changed, call: Call) -> str:
    held = names.setdefault(call[1], ("dir", call[2], ""))
    return held[1] if held[0] in _DIRECTORIES else "exists"


def _grow(names: Changed, call: Call) -> str:
    kind, owner, _ = names.get(call[1], ("dir", call[2], ""))
    if kind not in _DIRECTORIES:
        return "exists"
    names[call[1]] = ("tree", owner, "")
    return "ok"


def _remove(names: Changed, call: Call) -> str:
    return "absent" if names.pop(call[1], None) is None else "ok"


def _rename(names: Changed, call: Call) -> str:
    _, source, destination, overwrite = call
    held, there = names.get(source), names.get(destination)
    if held is None:
        return "absent"
    if source == destination:
        return "ok"
    if there is not None:
        is_directory = held[0] in _DIRECTORIES
        replaceable = there[0] == "dir" if is_directory else there[0] not in _DIRECTORIES
        if not replaceable or not (is_directory or overwrite):
            return "exists"
    names[destination] = names.pop(source)
    return "ok"


def _chown(names: Changed, call: Call) -> str:
    held = names.get(call[1])
    if held is None:
        return "absent"
    names[call[1]] = (held[0], call[2], held[2])
    return "ok"


def _touch(names: Changed, call: Call) -> str:
    return "ok" if call[1] in names else "absent"


_CHANGES = {
    "create": _create, "put": _put, "busy": _busy, "mkdir": _mkdir, "grow": _grow,
    "delete": _remove, "trash": _remove, "rename": _rename, "chown": _chown, "touch": _touch,
}  # fmt: skip
