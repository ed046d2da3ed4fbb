import os
import time

import anyio
import pytest
from blockbuster import blockbuster_ctx

from crush.tools.html_markdown import Converted, convert_to_markdown
from crush.tools.web_url import parse_url

URL = parse_url("https://a.example/dir/page")


async def convert(page: str) -> Converted:
    with blockbuster_ctx("crush"):
        return await convert_to_markdown(page, url=URL, env={"PATH": os.environ["PATH"]})


async def test_structure_is_kept() -> None:
    page = (
        "<h1>A</h1><p>b <em>c</em> <code>d</code></p><pre>e\n  f</pre><ul><li>g</li></ul>"
        "<table><tr><th>h</th></tr><tr><td>i</td></tr></table><img src='j.png' alt='k'>"
    )
    text = (await convert(page)).text
    assert text == (
        "# A\n\nb *c* `d`\n\n```\ne\n  f\n```\n\n- g\n\n| h |\n| --- |\n| i |\n\n"
        "![k](https://a.example/dir/j.png)"
    )


@pytest.mark.parametrize(
    ("target", "link"),
    [
        ("x", "https://a.example/dir/x"),
        ("//b.example/", "https://b.example/"),
        ("#part", "https://a.example/dir/page#part"),
        ("https://[::1", "https://[::1"),
        ("mailto:x@a.example", "mailto:x@a.example"),
    ],
)
async def test_links_lead_where_they_do_in_the_page(target: str, link: str) -> None:
    assert (await convert(f"<a href='{target}'>t</a>")).text == f"[t]({link})"


async def test_an_empty_page_is_empty() -> None:
    assert await convert("") == Converted(text="")


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 50_000 + "the words",
        "<b>" * 3000 + "the words",
        "the words" + "<a" * 200_000,
        "<ul><li>" * 20_000 + "the words",
        "<table><tr><td>" * 10_000 + "the words",
        "<blockquote>" * 20_000 + "the words",
    ],
    ids=["divs", "bolds", "open tags", "lists", "tables", "quotes"],
)
async def test_a_hostile_page_ends_soon_and_keeps_its_words(page: str) -> None:
    began = time.monotonic()
    converted = await convert(page)
    assert "the words" in converted.text
    assert "plain text" in converted.note
    assert time.monotonic() - began < 15


async def test_a_long_page_is_converted_as_far_as_it_is_sensible() -> None:
    converted = await convert(f"<p>{'word ' * 300_000}</p>")
    assert converted.note == "Only the first 1000000 characters of its HTML were converted."
    assert len(converted.text) > 900_000


async def test_cancelling_ends_the_worker() -> None:
    began = time.monotonic()
    with anyio.move_on_after(0.3):
        await convert("<a" * 200_000)
    assert time.monotonic() - began < 3
