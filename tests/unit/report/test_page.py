"""The report as one HTML file, without a browser: its policy, its shape, its size, its library."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time

import html5lib
import pytest
import vl_convert

from hpc_sweep.ledger import read_ledger
from hpc_sweep.report.collect import written
from hpc_sweep.report.markup import data_script, element
from hpc_sweep.report.page import page
from tests.builders import build, failed
from tests.conftest import ROOT

XHTML = "{http://www.w3.org/1999/xhtml}"
ASSETS = ROOT / "hpc_sweep" / "report" / "assets"


def page_of(sweep):
    """Return the page of a sweep; pictures are not drawn."""
    return page(written(sweep, read_ledger(sweep)).document())


def parsed(text):
    """Return the tree that a browser would make, with every parse error raised."""
    return html5lib.HTMLParser(strict=True).parse(text)


def shape(tree):
    """Return the names of all elements with those of their attributes."""
    return [(one.tag, sorted(one.attrib)) for one in tree.iter() if isinstance(one.tag, str)]


def test_policy_allows_exactly_what_is_in_the_file(tmp_path):
    """The digests of the policy are those of the style and the two scripts; nothing else is allowed."""
    tree = parsed(page_of(build(tmp_path / "s", {"lr": [1, 2]}, lambda p, _: p["lr"] / 10)))

    policy = next(
        m.get("content") for m in tree.iter(f"{XHTML}meta") if m.get("http-equiv") == "Content-Security-Policy"
    )
    scripts = [one.text for one in tree.iter(f"{XHTML}script") if one.get("type") is None]
    styles = [one.text for one in tree.iter(f"{XHTML}style")]
    digests = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert re.search(r"script-src ([^;]*);", policy)[1].split() == digests
    assert len(styles) == 1
    assert not [one for one in tree.iter() if {"style", "onclick", "src"} & set(one.attrib)]


def test_same_records_give_the_same_page(tmp_path):
    """Nothing of the moment or of chance is in the file."""
    sweep = build(tmp_path / "s", {"lr": [1, 2, 3]}, lambda p, _: p["lr"] / 10)

    assert page_of(sweep) == page_of(sweep)


@pytest.mark.parametrize(
    "hostile", ["</script><script>x", "<!--", "<b>", '"><i>', "'", "&lt;", "\u2028", "]]>", "\x00"]
)
def test_hostile_text_adds_no_element_and_no_attribute(tmp_path, hostile):
    """Whatever names, levels and errors say, the tree of the page is that of a tame one."""
    plain, nasty = iter([0.5, failed("a", "b"), 0.6]), iter([0.5, failed(hostile, hostile), 0.6])
    tame = page_of(build(tmp_path / "a", {"name": ["p", "q", "r"]}, lambda *_: next(plain)))
    wild = page_of(build(tmp_path / "b", {hostile: ["p", "q", hostile]}, lambda *_: next(nasty)))

    assert shape(parsed(wild)) == shape(parsed(tame))


def test_data_cannot_end_their_script():
    """JSON in a page holds no `<`, and reads back."""
    value = {"a": "</script><!-- \u2028 & >", "b": [1.5, None]}
    markup = data_script("x", value).markup

    inside = markup.removeprefix('<script type="application/json" id="x">').removesuffix("</script>")
    assert not set("<>&\u2028") & set(inside)
    assert json.loads(inside) == value


def test_attributes_are_escaped_and_left_out():
    """Quotes in attributes are text; None and False leave an attribute out."""
    made = element("p", "x", title='"><b>', hidden=False, id=None, data_key="1").markup

    assert made == '<p title="&quot;&gt;&lt;b&gt;" data-key="1">x</p>'


def test_library_is_that_of_vl_convert():
    """`vega.js` is what vl-convert gives in the version that the constraints name; it cannot end its script."""
    library = (ASSETS / "vega.js").read_text(encoding="utf-8")

    assert "</script" not in library.lower()
    if f"vl-convert-python=={vl_convert.__version__}" in (ROOT / "constraints.txt").read_text().replace(".post1", ""):
        assert library == vl_convert.javascript_bundle()


def test_thousand_trials_make_a_small_page_in_time(tmp_path):
    """1,000 trials with curves: at most 5 MB, and seconds of CPU rather than minutes."""

    def ending(params, seed):
        score = 0.5 + params["lr"] + params["dropout"] / 10 + (seed * 7 + params["width"]) % 13 / 500
        curve = [score * (epoch + 1) / 20 for epoch in range(20)]
        return {"metrics": {"val/accuracy": curve[-1]}, "curves": {"val/accuracy": curve, "train/accuracy": curve}}

    grid = {"lr": [0.1, 0.2, 0.3, 0.4, 0.5], "dropout": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "width": [1, 2, 3, 4]}
    ledger = read_ledger(sweep := build(tmp_path / "s", grid, ending, replicates=range(5)))
    begun = time.process_time()
    text = page(written(sweep, ledger).document())

    assert len(ledger.rows) == 1000
    assert len(text.encode()) < 5_000_000
    assert time.process_time() - begun < 10
