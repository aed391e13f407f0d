"""What every section of the parameters is made of."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

# Names become folder names and wildcards of the workflow: nothing a shell or a path would notice.
MAXIMUM_NAME = 64
Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=MAXIMUM_NAME)
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Steps = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0)]
T = TypeVar("T")


def _without_repeats(values: list[T]) -> list[T]:
    if len(set(values)) < len(values):
        raise ValueError(f"each value may stand here only once; found {values}")
    return values


# What makes one job, one row or one column each: at least one, and none twice.
Distinct = Annotated[list[T], Field(min_length=1), AfterValidator(_without_repeats)]
# The same, but there may be none.
Unrepeated = Annotated[list[T], AfterValidator(_without_repeats)]


class Strict(BaseModel):
    """A section of the parameters: no unknown keys, no silent conversions, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
