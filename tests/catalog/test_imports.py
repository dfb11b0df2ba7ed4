"""A CSV of models: whatever its columns are called, and whatever is wrong in it."""

from importlib import resources

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.catalog.imports import ImportInvalid, ModelLine, read_models
from app.catalog.models import PriceRule


def faults(text: str | bytes) -> list[str]:
    with pytest.raises(ImportInvalid) as refused:
        read_models(text if isinstance(text, bytes) else text.encode())
    assert refused.value.message.startswith("nothing imported: ")
    return [f"{problem.path}: {problem.message}" for problem in refused.value.problems]


def test_the_published_figures_can_be_read() -> None:
    file = read_models(resources.files("app.catalog").joinpath("published.csv").read_bytes())
    assert (len(file.lines), file.ignored) == (503, [])
    [seed] = [line for line in file.lines if line.slug == "motionctrl-svd"]
    assert seed == ModelLine(
        "motionctrl-svd", None, "Image-to-Video Generation", 62.73815, cost_micro=89_282, price_micro=133_923
    )
    assert max(line.price_micro or 0 for line in file.lines) > 7_000_000
    assert sum(line.run_seconds is None for line in file.lines) == 24


def test_columns_by_other_names_and_in_any_order() -> None:
    text = (
        "\ufeffMean Cost (USD); Mark-up ;NAME;Model ;Run Time;notes;Price rule;Enabled\r\n"
        '0.1000001;1.5;"A; B";m-1;2.5;x;fixed;No\r\n\r\n;;;m-2;;;;\r\n'
    )
    file = read_models(text.encode())
    assert file.ignored == ["notes"]
    assert file.lines == [
        ModelLine("m-1", "A; B", None, 2.5, 100_001, 150_002, PriceRule.FIXED, 1_500_000, False),
        ModelLine("m-2"),
    ]


def test_a_price_of_its_own_counts() -> None:
    [line] = read_models(b"slug\tcost\tprice\nm\t0.1\t0.2\n").lines
    assert (line.cost_micro, line.price_micro) == (100_000, 200_000)


def test_every_fault_has_its_line_and_column() -> None:
    text = "slug,cost,seconds,price,rule,markup,enabled\na b,x,-1,1e3,free,-1,maybe\nok,1,1,1,fixed,1,yes\nok,NaN,inf,,,,\nfew,1\n"
    told = faults(text)
    assert [one.partition(": ")[0] for one in told] == [
        *(f"line 2, column {name}" for name in ("slug", "cost", "seconds", "price", "rule", "markup", "enabled")),
        *(f"line 4, column {name}" for name in ("cost", "seconds", "slug")),
        "line 5",
    ]
    assert "duplicate of line 3" in told[9]
    assert told[10] == "line 5: expected 7 columns, found 2"
    assert all("expected" in one for one in told if "duplicate" not in one)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: expected a column called slug"),
        ("title,cost\na,1\n", "line 1: expected a column called slug"),
        ("slug\n", "line 2: expected at least one model"),
        ("slug,model\na,b\n", "line 1, column model: a second column for slug"),
        (b"slug\nok\n\xff\n", "line 3: expected UTF-8"),
        ("slug\nok\na\0b\n", "line 3: expected text without the NUL character"),
        ('slug,title\nok,"open\n', "line 2: expected CSV"),
        ("slug\nrequests\n", "line 2, column slug: expected a slug"),
    ],
)
def test_files_that_say_nothing(text: str | bytes, told: str) -> None:
    assert faults(text)[0].startswith(told)


def test_a_flood_of_faults_is_told_in_short() -> None:
    with pytest.raises(ImportInvalid, match="and 80 more"):
        read_models(b"slug\n" + b"a b\n" * 100)


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"slug,cost\n{text}".encode("utf-8", "replace"))
)
@example(b"slug,cost\na,9e99999999999\n")
@example(b"slug,cost\na,-0\n")
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    try:
        lines = read_models(data).lines
    except ImportInvalid:
        return
    assert lines
    assert len({line.slug for line in lines}) == len(lines)
