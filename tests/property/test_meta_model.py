"""The namespace against its model, with retries, drains and restarts in between.

Hypothesis finds small contradictions and shrinks them; seeded walks go where long histories lead.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from .meta_steps import MetaSteps

STEPS = {
    "mkdirs": 2, "create": 6, "allocate": 10, "complete": 4, "abandon": 1, "delete": 2,
    "rename": 4, "ask_again": 2, "drain": 1, "look": 2,
}  # fmt: skip
"""How often a walk takes each."""
APPLIED = ("Mkdirs", "Create", "AllocateChunk", "Complete", "Abandon", "Delete", "Rename")


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
        self.steps = MetaSteps()

    @rule(
        step=st.sampled_from([name for name, n in STEPS.items() for _ in range(n)]), data=st.data()
    )
    def step(self, step: str, data: st.DataObject) -> None:
        getattr(self.steps, step)(Drawn(data))

    @invariant()
    def agree(self) -> None:
        self.steps.check_tree()
        self.steps.check_chunks()


TestMetaModel = MetaMachine.TestCase
TestMetaModel.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@pytest.mark.parametrize("seed", range(10))
def test_a_long_walk_agrees_with_the_model(seed: int) -> None:
    choose = Seeded(seed)
    steps = MetaSteps()
    for _ in range(1000):
        (name,) = choose.rng.choices(list(STEPS), weights=list(STEPS.values()))
        getattr(steps, name)(choose)
        steps.check_tree()
        if choose.below(3) == 0:
            steps.check_chunks()
    assert all(steps.applied[name] > 2 for name in APPLIED), "the walk hardly reached an operation"
