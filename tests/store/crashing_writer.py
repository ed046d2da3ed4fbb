"""A process that writes until it is killed: `python crashing_writer.py STATE DATA_DIR MODE`.

`steps` commits one large change after the other, each numbered in every table that it touches, and
prints the number once it is committed. `turn` accepts a run, stops in the middle of a tool call and
waits.
"""

import sys

import anyio

from crush.store.change import Change, Limits, Pending
from crush.store.registry import Registry
from crush.store.store import Store
from crush.wire.parts import ToolCall, ToolCallPart
from tests.store import records


async def write_steps(store: Store) -> None:
    newest = await store.sessions(limit=1)
    number = int(newest[0].title) if newest else 0
    while True:
        number += 1
        await store.commit(
            Change(
                sessions=[records.session(title=str(number))],
                messages=[
                    records.message(f"{number}-{index}", records.text("x" * 20_000))
                    for index in range(10)
                ],
                runs=[records.run(f"run-{number}", state="running")],
                events=[records.notice(str(number), run_id="")] * 10,
            )
        )
        tell(str(number))


async def write_half_a_turn(store: Store) -> None:
    await store.accept(records.acceptance(), idempotency_key="key")
    call = ToolCall(id="call-open", name="bash", input='{"command":"make"}', finished=True)
    answer = records.message("answer", records.text("I will build."), ToolCallPart(call))
    await store.commit(
        Change(
            runs=[records.run(state="waiting")],
            messages=[answer],
            asked=[Pending(run_id=records.RID, request=records.permission())],
            events=[records.started(answer)],
        )
    )
    tell("waiting")
    await anyio.sleep_forever()


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(state: str, data_dir: str, mode: str) -> None:
    registry = await Registry.open(state)
    store = await Store.open(data_dir, owner="dead", registry=registry, limits=Limits())
    await (write_steps if mode == "steps" else write_half_a_turn)(store)


if __name__ == "__main__":
    _, state_path, directory, what = sys.argv
    anyio.run(main, state_path, directory, what)
