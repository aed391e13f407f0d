"""A recipe is its canonical text; whatever else is in the file is a forgery."""

import contextlib
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bat.errors import BatError
from bat.provenance.hashing import canonical_json, digest, sha256_of_file
from bat.provenance.recipe import RECIPE, Recipe, read_recipe, verify_file
from provenance.conftest import flip, make

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
plain = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(plain)
def test_canonical_text_says_the_value_and_nothing_else(value):
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text
    assert digest(value) == hashlib.sha256(text.encode()).hexdigest()


@given(plain | st.dictionaries(st.integers(), plain, max_size=3) | st.tuples(plain, plain))
def test_canonical_text_is_that_of_the_json_library(value):
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    assert canonical_json(value) == text + "\n"


@given(st.dictionaries(st.text(), st.integers()))
def test_the_order_of_keys_does_not_count(value):
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"a": float("-inf")}]])
def test_numbers_that_json_cannot_hold_are_refused(value):
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(value)


def test_canonical_text_and_ids_are_what_they_always_were():
    # every id in every table depends on these bytes
    assert (
        canonical_json({"b": [1, 2.5], "a": "ä"}) == '{\n "a": "ä",\n "b": [\n  1,\n  2.5\n ]\n}\n'
    )
    recipe = Recipe(
        format=1, stage="s", selection={}, settings={}, inputs=[], outputs=[], code={},
        environment_lock="absent", determinism="bitwise", wanted="w",
    )  # fmt: skip
    assert recipe.id == "7c8705033f1463ff9872e4aa7f56e4b1ca17ac2cb42db87a348552c0e68d9b27"


@pytest.fixture
def made(here):
    make(here / "one", {"a.bin": b"abc", "b.bin": b"defg"})
    return here / "one"


def test_a_recipe_is_read_back_as_it_was_written(made):
    recipe = read_recipe(made)
    assert recipe.text().encode() == (made / RECIPE).read_bytes()
    assert recipe.id == sha256_of_file(made / RECIPE)
    assert [(out.name, out.bytes) for out in recipe.outputs] == [("a.bin", 3), ("b.bin", 4)]
    assert recipe.output("a.bin").sha256 == hashlib.sha256(b"abc").hexdigest()
    assert recipe.output("c.bin") is None
    assert recipe.settings == {"rate": 1e-3, "name": "ä"}


def refused(folder):
    with pytest.raises(BatError) as caught:
        read_recipe(folder)
    assert len(str(caught.value).splitlines()) == 1
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_a_folder_without_a_recipe_is_an_unfinished_job(here, made):
    (made / RECIPE).unlink()
    assert "has no recipe.json: its job did not finish" in refused(made)
    assert "has no recipe.json" in refused(here / "never")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\n", b"\r\n"),
        (b"\n", b"\r"),
        (b'"format": 1', b'"format":  1'),
        (b'"format": 1', b'"format": 1.0'),
        (b'"rate": 0.001', b'"rate": 1e-3'),
        (b'"rate": 0.001', b'"rate": 1e999'),
        (b'"rate": 0.001', b'"rate": NaN'),
        ('"ä"'.encode(), b'"\\ud800"'),
        ('"ä"'.encode(), b'"\\u00e4"'),
        (b"}\n", b"}"),
        (b"{", b"\xef\xbb\xbf{"),
        (b'"stage": "made"', b'"stage": "made", "stage": "made"'),
    ],
)
def test_another_spelling_of_the_same_content_is_an_edit(made, old, new):
    path = made / RECIPE
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    assert "was edited" in refused(made) or "not a recipe" in refused(made)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b"{}\n", b"\xff\xfe", b'{"format": 1}', b"\x00" * 100],
)  # fmt: skip
def test_what_is_no_recipe_is_refused(made, content):
    (made / RECIPE).write_bytes(content)
    assert "not a recipe" in refused(made)


def test_a_truncated_recipe_is_refused_wherever_it_ends(made):
    content = (made / RECIPE).read_bytes()
    for length in range(0, len(content), 7):
        (made / RECIPE).write_bytes(content[:length])
        refused(made)


def test_a_recipe_with_more_in_it_is_refused(made):
    content = json.loads((made / RECIPE).read_bytes())
    (made / RECIPE).write_text(canonical_json(content | {"remark": "mine"}), encoding="utf-8")
    assert "remark" in refused(made)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Bytes of a recipe and a folder to write variants of it into."""
    folder = tmp_path_factory.mktemp("flip")
    make(folder, {"a.bin": b"abc"})
    return folder, (folder / RECIPE).read_bytes()


@given(data=st.data())
def test_a_flipped_byte_in_a_recipe_changes_its_id_or_is_refused(small, data):
    folder, content = small
    (folder / RECIPE).write_bytes(content)
    before = read_recipe(folder).id
    position = data.draw(st.integers(0, len(content) - 1))
    flip(folder / RECIPE, position, data.draw(st.integers(1, 255)))
    with contextlib.suppress(BatError):
        assert read_recipe(folder).id != before


def test_a_file_is_compared_with_the_recipe_of_its_maker(made):
    recipe = read_recipe(made)
    assert verify_file(made / "a.bin", recipe) == hashlib.sha256(b"abc").hexdigest()
    (made / "a.bin").write_bytes(b"abd")
    with pytest.raises(BatError) as caught:
        verify_file(made / "a.bin", recipe)
    for part in (str(made / "a.bin"), b"abc", b"abd"):
        expected = part if isinstance(part, str) else hashlib.sha256(part).hexdigest()
        assert expected in str(caught.value)
    (made / "a.bin").unlink()
    with pytest.raises(BatError, match=r"a\.bin: is missing; expected sha256 ba7816bf"):
        verify_file(made / "a.bin", recipe)
    with pytest.raises(BatError, match=r"stranger: the recipe beside it .* did not make it"):
        verify_file(made / "stranger", recipe)
