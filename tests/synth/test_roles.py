"""Roles: seeds that depend on the place in the recipe and not on timing, probabilities, and incomplete texts."""

import asyncio

import pytest

from synth.calls import CallLog
from synth.engine import Sampling
from synth.engines.scripted import ScriptedEngine, last_text
from synth.errors import ItemRejected
from synth.roles import Roles, begin_item, together
from tests.harness import Kept, ask

SAMPLING = Sampling()


def roles(script, seed: int = 0, item=None) -> Roles:
    begin_item()
    return Roles({"default": ScriptedEngine(script)}, CallLog(Kept(), "ru_1"), item or ask("hi"), "ilf", "wk_1", seed)


async def seeds_of(order: str, **kwargs) -> dict[str, int]:
    """Seeds of calls made side by side, with the branches running in the given order."""
    found: dict[str, int] = {}

    def script(request, seed):
        found[last_text(request)] = seed
        return "text"

    mine = roles(script, **kwargs)

    async def branch(name: str) -> None:
        for _ in range(order.index(name) * 5):
            await asyncio.sleep(0)
        await mine.policy.say(name, SAMPLING)
        await mine.policy.say(name + name, SAMPLING)

    await mine.policy.say("first", SAMPLING)
    await together(*(branch(name) for name in "abc"))
    await mine.policy.say("last", SAMPLING)
    return found


async def test_seeds_do_not_depend_on_scheduling():
    assert await seeds_of("abc") == await seeds_of("cab")


async def test_seeds_differ_by_place_item_run_and_sample():
    one = await seeds_of("abc")
    assert len(set(one.values())) == len(one)
    other_item = await seeds_of("abc", item=ask("ho"))
    other_run = await seeds_of("abc", seed=1)
    assert not set(one.values()) & (set(other_item.values()) | set(other_run.values()))
    replies = await roles(lambda request, seed: f"{seed}").policy.say("hi", SAMPLING, n=3)
    assert len({reply.text for reply in replies}) == 3


async def test_greedy_texts_need_no_seed():
    [reply] = await roles(lambda request, seed: f"seed {seed}").policy.say("hi", Sampling(temperature=0))
    assert reply.text == "seed None"


async def test_choose_normalises_over_the_options():
    choice = await roles(lambda request, seed: (0.2, 0.6)).judge.choose("A or B?", ("A", "B"))
    assert choice.probabilities == pytest.approx((0.25, 0.75))
    assert choice.mass == pytest.approx(0.8)


async def test_incomplete_texts_are_rejects_and_the_complete_ones_go_on():
    mine = roles(lambda request, seed: ["whole", "cut…", "  "][seed % 3])
    replies = await mine.policy.say("hi", SAMPLING, n=30)
    assert {reply.text for reply in replies} == {"whole"}
    assert {(one.reason, one.raw) for one in mine.rejects} == {("truncated", "cut…"), ("empty", "  ")}
    assert len(replies) + len(mine.rejects) == 30


async def test_nothing_complete_rejects_the_item():
    with pytest.raises(ItemRejected, match="truncated") as caught:
        await roles(lambda request, seed: "cut…").policy.say("hi", SAMPLING)
    assert caught.value.raw == "cut…"


async def test_together_keeps_the_order_and_gives_up_the_others_on_failure():
    given_up = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            given_up.append(True)
            raise

    async def fail() -> None:
        raise ItemRejected("bad", "bad")

    async def value(number: int) -> int:
        for _ in range(3 - number):
            await asyncio.sleep(0)
        return number

    begin_item()
    assert await together(*(value(number) for number in range(3))) == [0, 1, 2]
    with pytest.raises(ItemRejected):
        await together(slow(), fail())
    assert given_up == [True]


def test_an_unbound_role_is_an_attribute_error():
    with pytest.raises(AttributeError, match="critic"):
        _ = Roles({}, CallLog(Kept(), "ru_1"), ask("hi"), "ilf", "wk_1", 0).critic
