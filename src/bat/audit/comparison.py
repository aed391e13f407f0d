"""Whether a rebuilt file repeats the one on record, and if not, where it first differs.

Bytes are compared first. Where they differ, the content is: numbers within a tolerance, everything
else exactly. What is found is said in the terms of the file: the path in a JSON text, the row and
column of a table, the name of a tensor.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors import SafetensorError, safe_open

from bat.errors import BatError
from bat.provenance.determinism import EXACT, Tolerance

_BLOCK_BYTES = 1 << 20
_BLOCK_VALUES = 1 << 22
_ABSENT = object()
Array = np.ndarray[Any, Any]


def same_bytes(one: Path, other: Path) -> bool:
    """Tell whether two files hold the same bytes."""
    return _first_byte(one, other) is None


def first_difference(one: Path, other: Path, tolerance: Tolerance = EXACT) -> str | None:
    """Say where the contents of two files first differ.

    Parameters
    ----------
    one, other
        The file on record and the rebuilt one; the ending says what they hold. Files that hold
        neither JSON, nor a table, nor tensors are compared byte by byte.
    tolerance
        For numbers.

    Returns
    -------
    str or None
        Place and both values; None where the contents agree, though the bytes may not.

    Raises
    ------
    BatError
        If a file is not what its ending says.
    """
    if same_bytes(one, other):
        return None
    compare = _COMPARED.get(one.suffix, _of_bytes)
    try:
        return compare(one, other, tolerance)
    except (ValueError, OSError, SafetensorError, pl.exceptions.PolarsError) as error:
        first = " ".join(str(error).split())
        raise BatError(f"{one.name}: not a {one.suffix} file: {first}") from None


def other_form(one: Path, other: Path) -> str | None:
    """Say where the forms of two files first differ: keys, columns, names and types, not values.

    Returns
    -------
    str or None
        None where they are alike. Of other files than JSON, tables and tensors only the first
        bytes, which name the format, are compared.
    """
    form = _FORMS.get(one.suffix, _magic)
    mine, theirs = form(one), form(other)
    return None if mine == theirs else f"{_short(mine)} on record, {_short(theirs)} rebuilt"


def difference_of_values(one: Any, other: Any, tolerance: Tolerance = EXACT) -> str | None:
    """Say where two plain values first differ: path and both values."""
    return next(_of_values(one, other, tolerance, ""), None)


def _of_bytes(one: Path, other: Path, _: Tolerance) -> str | None:
    place = _first_byte(one, other)
    sizes = f"{one.stat().st_size} bytes on record, {other.stat().st_size} rebuilt"
    return None if place is None else f"byte {place} differs; {sizes}"


def _first_byte(one: Path, other: Path) -> int | None:
    with one.open("rb") as a, other.open("rb") as b:
        place = 0
        while True:
            left, right = a.read(_BLOCK_BYTES), b.read(_BLOCK_BYTES)
            if left != right:
                pairs = enumerate(zip_longest(left, right))
                return place + next(i for i, (x, y) in pairs if x != y)
            if not left:
                return None
            place += len(left)


# JSON


def _of_json(one: Path, other: Path, tolerance: Tolerance) -> str | None:
    return difference_of_values(_json(one), _json(other), tolerance)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _of_values(one: Any, other: Any, tolerance: Tolerance, path: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            pair = one.get(key, _ABSENT), other.get(key, _ABSENT)
            yield from _of_values(*pair, tolerance, f"{path}.{key}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list):
        for place, pair in enumerate(zip_longest(one, other, fillvalue=_ABSENT)):
            yield from _of_values(*pair, tolerance, f"{path}[{place}]")
    elif not _repeats(one, other, tolerance):
        yield f"{path or 'the value'}: {_value(one)} on record, {_value(other)} rebuilt"


def _repeats(one: Any, other: Any, tolerance: Tolerance) -> bool:
    if _is_number(one) and _is_number(other):
        return bool(abs(one - other) <= tolerance.absolute + tolerance.relative * abs(one))
    return type(one) is type(other) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(value: Any) -> str:
    return "nothing" if value is _ABSENT else _short(value)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _json_form(path: Path) -> Any:
    return _form_of_value(_json(path))


def _form_of_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _form_of_value(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_form_of_value(value[0])] if value else []
    return "number" if _is_number(value) else type(value).__name__


# Tables


def _of_tables(one: Path, other: Path, tolerance: Tolerance) -> str | None:
    a, b = _table(one), _table(other)
    if a.schema != b.schema:
        return difference_of_values(_columns(a), _columns(b)) or "the order of columns"
    if a.height != b.height:
        return f"{a.height} rows on record, {b.height} rebuilt"
    for column in a.columns:
        # lists of numbers as JSON values: a column of logits has a list in every row
        for row, (x, y) in enumerate(zip(a[column].to_list(), b[column].to_list(), strict=True)):
            found = next(_of_values(x, y, tolerance, f"row {row}, column {column}"), None)
            if found is not None:
                return found
    return None


def _table(path: Path) -> pl.DataFrame:
    return pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)


def _columns(table: pl.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in table.schema.items()}


def _table_form(path: Path) -> Any:
    return _columns(_table(path))


# Tensors


def _of_tensors(one: Path, other: Path, tolerance: Tolerance) -> str | None:
    with safe_open(one, framework="numpy") as a, safe_open(other, framework="numpy") as b:
        found = difference_of_values(a.metadata() or {}, b.metadata() or {})
        if found is not None:
            return f"metadata {found}"
        found = difference_of_values(sorted(a.keys()), sorted(b.keys()))
        if found is not None:
            return f"names of tensors {found}"
        for name in sorted(a.keys()):
            found = _of_arrays(a.get_tensor(name), b.get_tensor(name), tolerance)
            if found is not None:
                return f"tensor {name}: {found}"
    return None


def _of_numpy(one: Path, other: Path, tolerance: Tolerance) -> str | None:
    return _of_arrays(np.load(one, mmap_mode="r"), np.load(other, mmap_mode="r"), tolerance)


def _of_arrays(one: Array, other: Array, tolerance: Tolerance) -> str | None:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return f"{_kind(one)} on record, {_kind(other)} rebuilt"
    if one.dtype.kind not in "fiu":
        return None if np.array_equal(one, other) else "the values differ"
    a, b = one.reshape(-1), other.reshape(-1)
    count, largest, first = 0, 0.0, -1
    for start in range(0, a.size, _BLOCK_VALUES):
        x = a[start : start + _BLOCK_VALUES].astype(np.float64)
        y = b[start : start + _BLOCK_VALUES].astype(np.float64)
        apart = np.abs(x - y)
        far = ~(apart <= tolerance.absolute + tolerance.relative * np.abs(x))
        far &= ~((x == y) | (np.isnan(x) & np.isnan(y)))
        if far.any():
            first = start + int(far.argmax()) if first < 0 else first
            count += int(far.sum())
            largest = max(largest, float(np.nanmax(apart, initial=0.0)))
    if first < 0:
        return None
    place = [int(axis) for axis in np.unravel_index(first, one.shape)]
    return (
        f"at {place} {a[first]:.9g} on record, {b[first]:.9g} rebuilt; "
        f"{count} of {a.size} values differ, the largest deviation is {largest:.3g}"
    )


def _kind(array: Array) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _tensor_form(path: Path) -> Any:
    with safe_open(path, framework="numpy") as file:
        return {name: str(file.get_slice(name).get_dtype()) for name in sorted(file.keys())}


def _numpy_form(path: Path) -> Any:
    array = np.load(path, mmap_mode="r")
    return [str(array.dtype), array.ndim]


def _magic(path: Path) -> Any:
    with path.open("rb") as stream:
        return stream.read(4).hex()


_COMPARED: Mapping[str, Callable[[Path, Path, Tolerance], str | None]] = {
    ".json": _of_json,
    ".csv": _of_tables,
    ".parquet": _of_tables,
    ".safetensors": _of_tensors,
    ".npy": _of_numpy,
}
_FORMS: Mapping[str, Callable[[Path], Any]] = {
    ".json": _json_form,
    ".csv": _table_form,
    ".parquet": _table_form,
    ".safetensors": _tensor_form,
    ".npy": _numpy_form,
}
