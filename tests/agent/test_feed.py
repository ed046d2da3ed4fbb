"""Readers of the feed: what they get, in which order, and what a slow one costs."""

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings

from crush.agent.feed import QUEUE_LIMIT, Feed, GrowingText, LiveMessage, Piece
from crush.providers.base import TextDelta
from crush.wire.events import Committed, Notice
from crush.wire.ids import MessageId, RunId, SessionId
from crush.wire.messages import Message
from tests.agent.bench import Bench
from tests.agent.listener import Listener, Replica
from tests.agent.turn_scripts import answers, with_deeds
from tests.fakes.provider import Act, Item, calls, says

SID = SessionId("s")
RID = RunId("r")


def _text(owner: str = "m", *, session_id: SessionId = SID, run_id: RunId = RID) -> GrowingText:
    return GrowingText(kind="text", owner=owner, part=0, session_id=session_id, run_id=run_id)


def _notice(seq: int, *, run_id: RunId = RID, session_id: SessionId = SID) -> Committed:
    event = Notice(session_id=session_id, run_id=run_id, text=str(seq))
    return Committed(seq=seq, run_id=run_id, event=event)


def _feed_with(text: GrowingText) -> Feed:
    feed = Feed(epoch="e", last_seq=0)
    live = LiveMessage(
        Message(parts=[], id=MessageId(text.owner), role="assistant", session_id=text.session_id)
    )
    live.parts.append(text)
    feed.open(live)
    return feed


def test_growing_text_is_never_queued_however_much_of_it_there_is() -> None:
    text = _text()
    feed = _feed_with(text)
    reader = feed.subscribe(session_id=SID)
    feed.show(text)
    for _ in range(10_000):
        feed.grow(text, "ab")
    assert len(reader.queue) == 0
    (piece,) = reader.pieces()
    assert (piece.offset, len(piece.text)) == (0, 20_000)
    assert reader.pieces() == []


def test_pieces_meet_without_gap_or_overlap_for_readers_of_any_pace() -> None:
    text = _text()
    feed = _feed_with(text)
    feed.show(text)
    readers = [feed.subscribe(session_id=SID) for _ in range(4)]
    heard: list[list[Piece]] = [[] for _ in readers]
    for number in range(100):
        feed.grow(text, f"{number} ")
        for pace, reader in enumerate(readers, start=1):
            if number % pace == 0:
                heard[pace - 1] += reader.pieces()
    for reader, before in zip(readers, heard, strict=True):
        pieces = [*before, *reader.pieces()]
        assert "".join(piece.text for piece in pieces) == text.text()
        assert [piece.offset for piece in pieces] == [
            sum(len(earlier.text) for earlier in pieces[:index]) for index in range(len(pieces))
        ]


def test_who_joins_in_the_middle_gets_text_that_grows_from_its_beginning() -> None:
    text = _text()
    feed = _feed_with(text)
    feed.show(text)
    feed.grow(text, "begun ")
    late = feed.subscribe(session_id=SID)
    feed.grow(text, "before")
    assert [(piece.offset, piece.text) for piece in late.pieces()] == [(0, "begun before")]


def test_text_grows_in_silence_until_what_places_it_is_told() -> None:
    text = _text()
    feed = _feed_with(text)
    early = feed.subscribe(session_id=SID)
    feed.grow(text, "hidden")
    late = feed.subscribe(session_id=SID)
    assert early.pieces() == late.pieces() == []
    assert not early.changed.is_set()
    feed.show(text)
    assert [piece.text for piece in (*early.pieces(), *late.pieces())] == ["hidden", "hidden"]


def test_void_text_reaches_nobody_any_more() -> None:
    text = _text()
    feed = _feed_with(text)
    reader = feed.subscribe(session_id=SID)
    feed.show(text)
    feed.grow(text, "gone")
    text.void = True
    assert reader.pieces() == []


def test_a_reader_that_is_too_far_behind_is_lost_and_keeps_nothing() -> None:
    feed = Feed(epoch="e", last_seq=0)
    slow, quick = feed.subscribe(session_id=SID), feed.subscribe(session_id=SID)
    for seq in range(1, QUEUE_LIMIT + 1):
        feed.publish([_notice(seq)])
    assert (slow.lost, quick.lost) == (False, False)
    quick.queue.clear()
    feed.publish([_notice(QUEUE_LIMIT + 1)])
    feed.publish([_notice(QUEUE_LIMIT + 2)])
    assert [(reader.lost, len(reader.queue)) for reader in (slow, quick)] == [(True, 0), (False, 2)]


@pytest.mark.parametrize(
    ("wanted", "seqs"),
    [
        ({"run_id": RID}, [1]),
        ({"session_id": SID}, [1, 2]),
        ({}, [1, 2, 3]),
    ],
)
def test_a_reader_gets_its_run_its_session_or_everything(
    wanted: dict[str, str], seqs: list[int]
) -> None:
    feed = Feed(epoch="e", last_seq=0)
    reader = feed.subscribe(
        run_id=RunId(wanted["run_id"]) if "run_id" in wanted else None,
        session_id=SessionId(wanted["session_id"]) if "session_id" in wanted else None,
    )
    feed.publish([_notice(1)])
    feed.publish([_notice(2, run_id=RunId("other"))])
    feed.publish([_notice(3, run_id=RunId("third"), session_id=SessionId("other"))])
    assert [queued.item.seq for queued in reader.queue] == seqs
    feed.unsubscribe(reader)
    feed.publish([_notice(4)])
    assert [queued.item.seq for queued in reader.queue] == seqs
    assert feed.followers(SID, RID) == []


def test_only_a_reader_that_can_answer_and_follows_the_session_makes_it_answerable() -> None:
    feed = Feed(epoch="e", last_seq=0)
    feed.subscribe(session_id=SID, can_answer=False)
    other = feed.subscribe(session_id=SessionId("other"), can_answer=True)
    assert not feed.can_answer(SID)
    assert feed.can_answer(SessionId("other"))
    everywhere = feed.subscribe(can_answer=True)
    assert feed.can_answer(SID)
    feed.unsubscribe(everywhere)
    feed.unsubscribe(other)
    assert not feed.can_answer(SessionId("other"))


def test_a_text_is_forgotten_by_its_readers_when_it_is_over() -> None:
    feed = Feed(epoch="e", last_seq=0)
    reader = feed.subscribe(session_id=SID)

    def produce(call_id: str) -> None:
        output = GrowingText(kind="tool_output", owner=call_id, part=0, session_id=SID, run_id=RID)
        feed.open_output(output)
        feed.show(output)
        feed.grow(output, "x" * 100)
        assert len(reader.pieces()) == 1
        feed.close_output(output)

    for number in range(100):
        produce(f"c{number}")
    assert len(reader._read) == 0


def test_two_calls_of_one_id_have_each_their_own_output() -> None:
    feed = Feed(epoch="e", last_seq=0)
    outputs = [
        GrowingText(kind="tool_output", owner="c", part=0, session_id=SID, run_id=RunId(run))
        for run in "ab"
    ]
    for output in outputs:
        feed.open_output(output)
        feed.show(output)
    feed.close_output(outputs[0])
    feed.grow(outputs[1], "still here")
    assert [piece.source for piece in feed.subscribe().pieces()] == [outputs[1]]


# -- joining a real turn ------------------------------------------------------------------------


class Joiner:
    """A client that comes at some moment: it follows, then asks for a snapshot."""

    def __init__(self, bench: Bench, session_id: SessionId) -> None:
        self._bench = bench
        self._session_id = session_id
        self._listener: Listener | None = None
        self._replica: Replica | None = None

    async def join(self) -> None:
        self._listener = self._bench.listen(session_id=self._session_id)
        snapshot = await self._bench.store.snapshot(self._session_id)
        self._replica = Replica(snapshot.messages, seq=snapshot.seq)

    def check(self, messages: Sequence[Message]) -> None:
        assert self._listener is not None
        assert self._replica is not None
        self._listener.take()
        self._replica.apply(self._listener.heard)
        assert self._replica.parts() == {message.id: message.parts for message in messages}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scripts=answers("join", "join", "join"))
async def test_who_joins_at_any_moment_ends_up_with_what_the_store_has(
    tmp_path_factory: pytest.TempPathFactory, scripts: list[list[Item | str]]
) -> None:
    async with Bench(tmp_path_factory.mktemp("bench")) as bench:
        joiners: list[Joiner] = []

        async def join(_name: str) -> None:
            (session,) = await bench.store.sessions()
            joiners.append(Joiner(bench, session.id))
            await joiners[-1].join()

        bench.provider.add(*with_deeds(scripts, join))
        bench.provider.add_default(says("end"))
        run = await bench.send()
        await bench.idle()
        messages = await bench.messages(run)
        for joiner in joiners:
            joiner.check(messages)


async def test_who_joins_between_two_deltas_sees_the_rest_of_the_word(bench: Bench) -> None:
    joined: list[Listener] = []

    async def join() -> None:
        await bench.ear.wait(lambda ear: any(isinstance(news, Piece) for news in ear.heard))
        joined.append(bench.listen())

    bench.provider.add([*says("Hel"), Act(join), *says("lo")])
    run = await bench.run()
    (late,) = joined
    late.take()
    pieces = [news for news in late.heard if isinstance(news, Piece)]
    assert [(piece.offset, piece.text) for piece in pieces] == [(0, "Hello")]
    assert run.state == "done"


async def test_events_of_all_sessions_are_told_in_the_order_of_the_log(bench: Bench) -> None:
    """Also those that come while another run's end waits for the registry's disk."""
    bench.provider.add_default([*says("a"), *calls("nosuch", "c"), TextDelta("b")])
    runs = [await bench.send(max_steps=3) for _ in range(12)]
    for run in runs:
        await bench.ended(run)
    seqs = [item.seq for item in bench.ear.events()]
    assert seqs == sorted(set(seqs))
    logged = await bench.store.events(0)
    assert logged is not None
    assert seqs == [item.seq for item in logged]
