"""The call log: what makes a call the same call, and that no call is made twice."""

import asyncio

import pytest

from synth.calls import Asker, CallLog, key
from synth.engine import Answer, Choose, Model, Sampling, Say
from synth.engines.scripted import ScriptedEngine
from synth.errors import EngineError, Interrupted
from tests.harness import Kept

ASKER = Asker("policy", "ilf", "pr_1", 0)
MODEL = Model("m", "f1")


def say(text: str, **sampling) -> Say:
    return Say(({"role": "user", "content": text},), Sampling(**sampling))


def test_the_key_depends_on_everything_that_reaches_the_model():
    system = Say(({"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}))
    requests = [
        (MODEL, say("hi"), 1),
        (Model("other", "f1"), say("hi"), 1),
        (Model("m", "f2"), say("hi"), 1),
        (MODEL, say("ho"), 1),
        (MODEL, system, 1),
        (MODEL, say("hi", temperature=0.5), 1),
        (MODEL, say("hi", max_tokens=10), 1),
        (MODEL, say("hi", stop=("\n",)), 1),
        (MODEL, say("hi"), 2),
        (MODEL, Choose(say("hi").messages, ("A", "B")), None),
        (MODEL, Choose(say("hi").messages, ("B", "A")), None),
    ]
    assert len({key(*request) for request in requests}) == len(requests)
    assert key(MODEL, say("hi"), 1) == key(MODEL, say("hi", temperature=1.0), 1)


def test_the_key_of_a_call_is_the_same_in_every_version():
    """A changed key would make every log worthless: change it knowingly."""
    assert key(MODEL, say("hi"), 1) == "ca_1201e681fb8a47b516433648"


async def test_only_what_is_missing_is_asked_and_the_order_is_kept():
    engine = ScriptedEngine(lambda request, seed: f"text {seed}")
    log = CallLog(Kept(), "ru_1")
    await log.ask(engine, say("hi"), [2], ASKER)
    calls = await log.ask(engine, say("hi"), [1, 2, 3], ASKER)
    assert [call.text for call in calls] == ["text 1", "text 2", "text 3"]
    assert (log.tally.calls_made, log.tally.calls_reused) == (3, 1)
    assert [call.seed for call in log.rows] == [2, 1, 3]


async def test_the_same_call_asked_for_side_by_side_is_made_once():
    engine = ScriptedEngine(lambda request, seed: "text")
    log = CallLog(Kept(), "ru_1")
    await asyncio.gather(*(log.ask(engine, say("hi"), [1], ASKER) for _ in range(5)))
    assert len(engine.asked) == 1


async def test_a_call_is_kept_even_if_its_item_is_given_up():
    engine = ScriptedEngine(lambda request, seed: "text")
    log = CallLog(Kept(), "ru_1")
    task = asyncio.create_task(log.ask(engine, say("hi"), [1], ASKER))
    await asyncio.sleep(0)
    task.cancel()
    await log.drain()
    assert [call.text for call in log.rows] == ["text"]


async def test_after_stop_known_calls_are_answered_and_others_refused():
    engine = ScriptedEngine(lambda request, seed: "text")
    log = CallLog(Kept(), "ru_1")
    await log.ask(engine, say("hi"), [1], ASKER)
    log.stop(Interrupted("stop"))
    assert len(await log.ask(engine, say("hi"), [1], ASKER)) == 1
    with pytest.raises(Interrupted):
        await log.ask(engine, say("hi"), [2], ASKER)


async def test_what_the_engine_raises_reaches_everyone_who_waits_and_leaves_nothing_pending():
    class Broken(ScriptedEngine):
        async def answer(self, request, seeds, priority) -> list[Answer]:
            await asyncio.sleep(0)
            raise EngineError("gone")

    engine = Broken(lambda request, seed: "text")
    log = CallLog(Kept(), "ru_1")
    results = await asyncio.gather(*(log.ask(engine, say("hi"), [1], ASKER) for _ in range(2)), return_exceptions=True)
    assert [str(result) for result in results] == ["gone", "gone"]
    assert len(log.rows) == 0


async def test_a_log_that_cannot_be_written_stops_the_engine_not_silently():
    class Full(Kept):
        def write(self, rows) -> None:
            raise OSError(28, "No space left on device")

    log = CallLog(Full(), "ru_1")
    with pytest.raises(EngineError, match="free the disk"):
        await log.ask(ScriptedEngine(lambda request, seed: "text"), say("hi"), [1], ASKER)
