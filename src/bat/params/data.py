"""Data sets, and the tasks that are made of them."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from bat.errors import BatError
from bat.params.base import (
    MAXIMUM_NAME,
    Count,
    Distinct,
    Name,
    NotNegative,
    Positive,
    Seed,
    Sha256,
    Share,
    Steps,
    Strict,
    Unrepeated,
)


class PackageIndexSource(Strict):
    """A file published on the Python package index."""

    kind: Literal["package-index"]
    package: Name
    version: Name
    sha256: Sha256
    inner: str | None = None
    inner_sha256: Sha256 | None = None
    licence: str


class FileSource(Strict):
    """A local archive."""

    kind: Literal["file"]
    path: str
    sha256: Sha256
    inner: str | None = None
    inner_sha256: Sha256 | None = None
    licence: str


class FolderSource(Strict):
    """A local folder in the data set's published layout."""

    kind: Literal["folder"]
    path: str
    licence: str


class YouTube(Strict):
    """Clips that a copy lacks are asked of YouTube: slow, never complete, never twice the same."""

    seconds_between_requests: Positive
    maximum_clips: Count


class PublishedSource(Strict):
    """A data set of the catalogue (``bat sources``), fetched and decoded as a stream.

    ``mirror``: one of its copies; null takes the first. ``revision``: commit of a repository on the
    Hugging Face Hub; null takes the catalogue's, or where that has none the newest, which is then
    recorded. ``youtube``: fill gaps of AudioSet.
    """

    kind: Literal["published"]
    name: Name
    mirror: Name | None = None
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] | None = None
    youtube: YouTube | None = None

    @model_validator(mode="after")
    def _is_in_the_catalogue(self) -> Self:
        from bat.acquisition.catalogue import mirror_of  # brings the catalogue, where one is named

        try:
            mirror_of(self.name, self.mirror)
        except BatError as error:
            raise ValueError(str(error)) from error
        if self.youtube is not None and self.name != "audioset":
            raise ValueError("youtube fills gaps of audioset only")
        return self


Source = Annotated[
    PackageIndexSource | FileSource | FolderSource | PublishedSource, Field(discriminator="kind")
]


class PlainLayout(Strict):
    """A layout without choices."""

    kind: Literal["meetings", "esc50", "speech-commands", "dcase2016-task2", "birdset"]


class AudioSetLayout(Strict):
    """AudioSet: segment lists and one audio file per segment."""

    kind: Literal["audioset"]
    parts: Distinct[Literal["balanced_train", "unbalanced_train", "eval"]]
    order: Literal["index", "alphabetical"]


class LibriSpeechLayout(Strict):
    """LibriSpeech: speakers, chapters, transcripts."""

    kind: Literal["librispeech"]
    parts: Distinct[Name]


class CsvLayout(Strict):
    """A user's own table of files: ``path,label,fold`` or ``path,label,split``.

    ``classes``: the labels allowed, in order; null takes those that occur. ``rare_classes``: a
    class may have no file in some of the folds.
    """

    kind: Literal["csv"]
    table: str
    classes: Distinct[str] | None = None
    rare_classes: bool = False


Layout = Annotated[
    PlainLayout | AudioSetLayout | LibriSpeechLayout | CsvLayout, Field(discriminator="kind")
]


class Dataset(Strict):
    """Where recordings come from, and which of them are used."""

    source: Source
    layout: Layout
    rate_hz: Count
    minimum_duration_s: NotNegative
    # A standard test set keeps its silent and repeated recordings: its results depend on them.
    excludes: Unrepeated[Literal["silent", "duplicate"]]
    excluded: dict[str, str] = Field(default_factory=dict)
    maximum_bad_share: Share


class Windows(Strict):
    """Consecutive windows of every recording; nearly silent ones are left out."""

    kind: Literal["windows"]
    clip_s: Positive
    minimum_rms: NotNegative


class Mixtures(Strict):
    """Made mixtures of windows, each inside one part of the data set."""

    kind: Literal["mixtures"]
    clip_s: Positive
    minimum_rms: NotNegative
    mixtures_per_clip: Positive
    maximum_speakers: Count
    gain_range_db: NotNegative
    seed: Seed


class Chunks(Strict):
    """Recordings of one part are cut up; the pieces go to other parts by their position."""

    part: Name
    chunk_s: Positive
    into: dict[Name, Share]


class Whole(Strict):
    """Every recording is one clip."""

    kind: Literal["whole"]
    chunks: Chunks | None = None


ClipKind = Annotated[Windows | Mixtures | Whole, Field(discriminator="kind")]


class Only(Strict):
    """A comparison set: of some parts nothing but the recordings that a file names.

    ``name``, ``path`` and ``sha256`` are those of the file, which ``bat ledger select`` made.
    ``parts``: where the set applies; the other parts stay whole.
    """

    name: Name
    path: str
    sha256: Sha256
    parts: Distinct[Name]


class Input(Strict):
    """How clips reach an encoder.

    ``samples``: the waveform is zero-padded or cut to this before the front end, so that silence
    takes part in its scaling; null leaves it. ``minimum_frames``: the spectrogram is zero-padded
    to this after the front end. ``padding``: clips of unequal length in a batch are zero-padded as
    spectrograms, each computed alone, or as waveforms, so that a clip depends on its batch.
    ``cached``: spectrograms and tokens are computed once; otherwise every step renders its clips
    anew. ``frontends``: what this task changes of a front end.
    """

    samples: Count | None = None
    minimum_frames: Steps = 0
    padding: Literal["spectrogram", "waveform"] = "spectrogram"
    cached: bool
    frontends: dict[Name, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _padding_has_an_effect(self) -> Self:
        if self.padding == "waveform" and (self.cached or self.samples is not None):
            raise ValueError("padding waveform is for clips of their own length, not cached")
        return self


class Transforms(Strict):
    """What training does to waveforms, whatever the method; absent means not done."""

    roll: bool = False
    random_crop: bool = False
    gaussian_noise: NotNegative = 0.0


class Fold(Strict):
    """One split of a task: the parts on either side."""

    name: Name
    train: Distinct[Name]
    validation: Unrepeated[Name]
    test: Distinct[Name]


class LeaveOneOut(Strict):
    """Every part is once the test part; all others are trained on."""

    kind: Literal["leave-one-out"]
    parts: Annotated[Distinct[Name], Field(min_length=2)]

    @property
    def folds(self) -> list[Fold]:
        """One fold per part, in order."""
        return [
            Fold(name=part, train=[p for p in self.parts if p != part], validation=[], test=[part])
            for part in self.parts
        ]


class Split(Strict):
    """One fixed split."""

    kind: Literal["split"]
    train: Distinct[Name]
    validation: Unrepeated[Name] = Field(default_factory=list)
    test: Distinct[Name]

    @property
    def folds(self) -> list[Fold]:
        """The one fold, named after its test part."""
        sides = {"train": self.train, "validation": self.validation, "test": self.test}
        return [Fold(name="-".join(self.test), **sides)]

    @model_validator(mode="after")
    def _sides_are_apart(self) -> Self:
        parts = [*self.train, *self.validation, *self.test]
        if len(set(parts)) < len(parts):
            raise ValueError(f"a part stands on two sides of the split: {parts}")
        return self

    @model_validator(mode="after")
    def _name_fits_a_folder(self) -> Self:
        name = "-".join(self.test)
        if len(name) > MAXIMUM_NAME:
            raise ValueError(f"the test parts name the fold, in {MAXIMUM_NAME} letters: {name}")
        return self


Folds = Annotated[LeaveOneOut | Split, Field(discriminator="kind")]


class Uniform(Strict):
    """Every clip once per epoch, in random order."""

    kind: Literal["uniform"]


class InverseFirstLabel(Strict):
    """Clips drawn with replacement, weighted by the inverse frequency of their first label."""

    kind: Literal["inverse-first-label"]


class InverseClassFrequency(Strict):
    """Clips drawn without replacement within an epoch, weighted by the mean inverse frequency."""

    kind: Literal["inverse-class-frequency"]
    clips_per_epoch: Count


Sampling = Annotated[
    Uniform | InverseFirstLabel | InverseClassFrequency, Field(discriminator="kind")
]


class LastStep(Strict):
    """The model after the last step is tested."""

    kind: Literal["last"]


class BestValidation(Strict):
    """The model with the best validation metric (the task's first) is tested."""

    kind: Literal["best-validation"]
    every: Count


Selection = Annotated[LastStep | BestValidation, Field(discriminator="kind")]


def _check_only(only: Only | None, parts: list[str]) -> None:
    absent = [] if only is None else [part for part in only.parts if part not in parts]
    if absent:
        raise ValueError(f"only.parts: {absent[0]!r} is no part of it; allowed: {', '.join(parts)}")


class ClipSet(Strict):
    """Clips of a data set, as an encoder hears them; without a task it serves pretraining."""

    kind: Literal["unlabelled"]
    dataset: Name
    clips: ClipKind
    input: Input
    parts: Distinct[Name]
    only: Only | None = None

    @model_validator(mode="after")
    def _set_applies_to_parts(self) -> Self:
        _check_only(self.only, self.parts)
        return self


class _Task(Strict):
    dataset: Name
    clips: ClipKind
    only: Only | None = None
    input: Input
    folds: Folds
    methods: Distinct[Name]
    recipes: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    transforms: Transforms = Transforms()
    sampling: Sampling = Uniform(kind="uniform")
    selection: Selection = LastStep(kind="last")
    test_batch_size: Count = 64

    @model_validator(mode="after")
    def _set_applies_to_parts(self) -> Self:
        folds = self.folds.folds
        sides = [side for fold in folds for side in (fold.train, fold.validation, fold.test)]
        _check_only(self.only, sorted({part for side in sides for part in side}))
        return self

    @model_validator(mode="after")
    def _selection_has_clips(self) -> Self:
        if self.selection.kind == "best-validation" and not self.folds.folds[0].validation:
            raise ValueError("selection by validation needs folds.validation")
        return self

    @model_validator(mode="after")
    def _cache_fits_transforms(self) -> Self:
        if self.input.cached and self.transforms != Transforms():
            raise ValueError(
                "transforms change waveforms in training; they need input.cached false"
            )
        return self


class MultiClassTask(_Task):
    """One label per clip."""

    kind: Literal["multi-class"]
    loss: Literal["cross_entropy"]
    metrics: Distinct[Literal["accuracy", "mAP"]]


class MultiLabelTask(_Task):
    """Several labels per clip."""

    kind: Literal["multi-label"]
    loss: Literal["asymmetric", "binary_cross_entropy"]
    metrics: Distinct[Literal["mAP", "F1"]]


class Decoding(Strict):
    """From probabilities over time to events."""

    threshold: Share
    median_filter: Count


class FrameWiseTask(_Task):
    """Several labels at every moment: sound event detection."""

    kind: Literal["frame-wise"]
    loss: Literal["binary_cross_entropy"]
    metrics: Distinct[Literal["frame_mAP", "onset_F1"]]
    decoding: Decoding


class TranscriptTask(_Task):
    """Text: speech recognition."""

    kind: Literal["transcript"]
    loss: Literal["ctc"]
    metrics: Distinct[Literal["WER", "CER"]]


Task = Annotated[
    ClipSet | MultiClassTask | MultiLabelTask | FrameWiseTask | TranscriptTask,
    Field(discriminator="kind"),
]
LabelledTask = MultiClassTask | MultiLabelTask | FrameWiseTask | TranscriptTask


class Group(Strict):
    """A pretraining group: its encoder never hears the parts it is tested on."""

    pretrain: Distinct[Name]
    test: Distinct[Name]
