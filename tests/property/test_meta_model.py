"""The namespace against its model, with retries, drains and restarts in between.

Hypothesis finds small contradictions and shrinks them; seeded walks go where long histories lead.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from pydfsnode.meta import history, tree

from .meta_ops import Choose
from .meta_steps import KINDS, MetaSteps

DROPPED_AT_ONCE_MAX = 3
"""So that trees become doomed that are small enough for a test."""
WEIGHTS = {
    "Mkdirs": 8, "Create": 8, "AllocateChunk": 12, "Complete": 6, "Delete": 3, "Rename": 10,
    "CreateInline": 6, "Append": 3, "Truncate": 3, "SetMode": 3, "SetAcl": 7, "SetOwner": 3,
    "Reclaim": 2, "MoveToTrash": 3, "RestoreTrash": 3, "SetQuota": 4, "Concat": 6, "SetXattr": 2,
    "CreateSnapshot": 4, "DeleteSnapshot": 3, "RenameSnapshot": 2, "SetReplication": 2,
    "CompleteInline": 2, "CreateKeyed": 8, "RemoveXattr": 2,
}  # fmt: skip
"""How often a walk takes each operation; others once."""
COMMON = {"Mkdirs", "Create", "AllocateChunk", "Complete", "Rename", "CreateInline"}
BESIDE = {"ask_again": 4, "wait": 2, "drain": 2, "look": 16, "squeeze": 5, "write": 5}
STEPS = {**{kind: WEIGHTS.get(kind, 1) for kind in KINDS}, **BESIDE}
WALKS = int(os.environ.get("META_WALKS", "20"))
WALK_STEPS = 1000


@pytest.fixture(autouse=True)
def _small_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "RECLAIMED_AT_ONCE_MAX", DROPPED_AT_ONCE_MAX)
    monkeypatch.setattr(history, "PURGED_AT_ONCE_MAX", DROPPED_AT_ONCE_MAX)


def take(steps: MetaSteps, name: str, choose: Choose) -> None:
    if name in BESIDE:
        getattr(steps, name)(choose)
    else:
        steps.operate(name, choose)


class Drawn:
    """Chance that hypothesis can shrink."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data

    def of(self, things: Sequence[Any]) -> Any:
        return self.data.draw(st.sampled_from(list(things)))

    def below(self, count: int) -> int:
        return self.data.draw(st.sampled_from(range(count)))


class Seeded:
    """Chance from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def of(self, things: Sequence[Any]) -> Any:
        return self.rng.choice(things)

    def below(self, count: int) -> int:
        return self.rng.randrange(count)


class MetaMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.steps = MetaSteps(DROPPED_AT_ONCE_MAX)

    @rule(
        step=st.sampled_from([name for name, n in STEPS.items() for _ in range(n)]), data=st.data()
    )
    def step(self, step: str, data: st.DataObject) -> None:
        take(self.steps, step, Drawn(data))

    def teardown(self) -> None:
        self.steps.check_tree()
        self.steps.check_chunks()


TestMetaModel = MetaMachine.TestCase
TestMetaModel.settings = settings(
    max_examples=50, stateful_step_count=60, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@pytest.mark.parametrize("seed", range(WALKS))
def test_a_long_walk_agrees_with_the_model(seed: int) -> None:
    choose = Seeded(seed)
    steps = MetaSteps(DROPPED_AT_ONCE_MAX, 0o1777 if seed % 2 else 0o777)
    for _ in range(WALK_STEPS):
        (name,) = choose.rng.choices(list(STEPS), weights=list(STEPS.values()))
        take(steps, name, choose)
        odds = choose.below(80)
        if odds == 0:
            steps.check_tree()
        if odds < 10:
            steps.check_chunks()
    assert len(steps.applied) > len(KINDS) * 3 // 4, "the walk hardly reached an operation"
    assert steps.applied.keys() >= COMMON
