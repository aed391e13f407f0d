"""Data sets from their mirrors to ledgers, by the real commands, from a server on this machine."""

import json
import random
import signal
import subprocess
import time

import polars as pl
import pytest
from safetensors.torch import load_file

from acquisition import server as faulty
from acquisition.acquiring import MIRRORS, acquired_params
from acquisition.broken import BROKEN, BrokenAudioSet
from acquisition.hub import catalogue_for
from acquisition.world import PACKERS, World
from bat.acquisition.catalogue import read_catalogue
from bat.data.layouts import read_layout
from bat.data.ledger import build_ledger
from bat.data.pcm_store import PcmStore, PcmWriter
from fixtures.layouts import open_folder
from pipeline.conftest import BIN, new_experiment
from pipeline.every_task import every_task_params

pytestmark = [pytest.mark.pipeline, pytest.mark.xdist_group("acquire")]
LEDGERS = [f"data/pcm/{name}/ledger.parquet" for name in MIRRORS]
FILES = ("pcm.npy", "recordings.parquet", "lists.zip", "files.json", "recipe.json")
OF_CONTENT = ["recording_id", "part", "labels", "events", "transcript", "sha256", "status"]


@pytest.fixture(scope="module")
def acquired(world, tmp_path_factory):
    """Every data set from every mirror, by one Snakemake."""
    experiment = new_experiment(tmp_path_factory.mktemp("acquired") / "run", acquired_params())
    with world.serve() as (_, environment):
        done = experiment.snakemake(*LEDGERS, env=environment)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return experiment


def run(experiment, environment, *arguments):
    return subprocess.run(
        [str(BIN / "bat"), *arguments],
        cwd=experiment.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def acquire(experiment, environment, dataset, *more):
    return run(
        experiment,
        environment,
        *("acquire", "--dataset", dataset, "--out", f"data/source/{dataset}", *more),
    )


def outputs(experiment, dataset):
    return {name: experiment.read(f"data/source/{dataset}/{name}") for name in FILES}


def local_ledger(world, name, folder):
    """The ledger of the same data set, unpacked by hand."""
    published, _ = MIRRORS[name]
    dataset = every_task_params()["datasets"]["audioset" if published == "audioset" else name]
    source = open_folder(world.folder / "raw" / published)
    layout = dict(dataset["layout"])
    listing = read_layout(layout.pop("kind"), source, **layout)
    with PcmWriter(
        folder / "pcm.npy", folder / "index.parquet", rate_hz=dataset["rate_hz"]
    ) as writer:
        ledger = build_ledger(
            listing.entries,
            source.read,
            writer,
            rate_hz=dataset["rate_hz"],
            minimum_duration_s=0.0,
            excludes=(),
        )
    return ledger, PcmStore(folder / "pcm.npy", folder / "index.parquet")


@pytest.mark.parametrize("name", MIRRORS)
def test_every_mirror_gives_what_a_copy_unpacked_by_hand_gives(acquired, world, name, tmp_path):
    expected, stored = local_ledger(world, name, tmp_path)
    ledger = pl.read_parquet(acquired.folder / f"data/pcm/{name}/ledger.parquet")
    assert ledger.select(*OF_CONTENT, "pcm_sha256").equals(
        expected.select(*OF_CONTENT, "pcm_sha256")
    )
    assert ledger.filter(pl.col("status") == "ok")["archive"].null_count() == 0
    store = PcmStore(
        acquired.folder / f"data/source/{name}/pcm.npy",
        acquired.folder / f"data/pcm/{name}/index.parquet",
    )
    assert store.recording_ids == stored.recording_ids
    for recording in store.recording_ids:
        assert (store.pcm(recording) == stored.pcm(recording)).all()


def test_archives_and_scratch_are_gone_when_a_data_set_is_there(acquired):
    assert not list(acquired.folder.glob("data/scratch/*"))
    assert not [*acquired.folder.rglob("*.zip.part"), *acquired.folder.rglob("*.tar*")]


def test_acquiring_again_has_nothing_to_do_and_the_records_verify(acquired, world):
    environment = world.environment("http://127.0.0.1:9")  # nobody is asked
    assert acquired.planned(*LEDGERS, env=environment) == {}
    done = run(acquired, environment, "audit", "verify", "data")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 problems" in done.stdout


def test_weights_are_fetched_and_converted(world, tmp_path):
    params = every_task_params()
    audio = params["models"]["bat-tiny"]["encoder"] | {"position_order": "frequency-major"}
    beats = {"kind": "beats", "width": 32, "depth": 2, "heads": 2, "mlp_width": 64}
    published = {
        "bat-vit-b16": ("bat", audio),
        "eat-base-epoch30": ("eat", audio | {"gated": False}),
        "eat-base-epoch10": ("eat", audio | {"gated": False}),
        "sslam": ("eat", audio | {"gated": False}),
        "beats-iter3": ("beats", beats | {"patch_width": 24}),
    }
    for name, (layout, encoder) in published.items():
        params["models"][name] = {
            "frontend": "bat",
            "encoder": encoder,
            "weights": {"layout": layout, "published": name},
            "tasks": ["esc50"],
            "methods": ["lp"],
        }
    experiment = new_experiment(tmp_path, params)
    targets = [f"results/pretrain/{name}/all/encoder.safetensors" for name in published]
    with world.serve() as (_, environment):
        done = experiment.snakemake(*targets, env=environment)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    released = load_file(world.folder / "weights" / "bat.safetensors")
    converted = load_file(tmp_path / targets[0])
    assert all((converted[name] == value).all() for name, value in released.items())
    files = json.loads(experiment.read("data/source/bat-vit-b16/files.json"))
    assert files["revision"] == "175109327540c72f4b678b149e7cfaf0ee45d3e9"


# --- what goes wrong ---------------------------------------------------------------------------


def test_a_network_that_breaks_everywhere_changes_nothing(acquired, world, experiment):
    seeded = random.Random(0)
    with world.serve() as (server, environment):
        for path, content in server.files.items():
            if "/api/" in path or not content:
                continue
            server.faults[path] = [
                faulty.cut(seeded.randrange(len(content))),
                faulty.status(500),
                faulty.status(429, Retry_After="0"),
                faulty.truncated(seeded.randrange(len(content))),
                faulty.wrong_length(7),
                faulty.wrong_bytes(content),
                faulty.no_ranges(after=seeded.randrange(len(content))),
                faulty.hang(seeded.randrange(len(content)), seconds=0.05),
            ]
        environment["BAT_TRIES"] = "12"
        for name in ("audioset", "birdset", "librispeech"):
            done = acquire(experiment, environment, name)
            assert done.returncode == 0, done.stderr
            assert outputs(experiment, name) == outputs(acquired, name)
        left = {path: len(faults) for path, faults in server.faults.items() if server.asked(path)}
        left = {path: number for path, number in left.items() if "/api/" not in path}
    print(f"{sum(8 - number for number in left.values())} faults in {len(left)} files")
    assert len(left) >= 15
    assert all(number <= 4 for number in left.values()), left


def test_killed_at_random_moments_it_goes_on_and_gives_the_same_bytes(acquired, world, experiment):
    seeded = random.Random(1)
    command = [str(BIN / "bat"), "acquire", "--dataset", "speech-commands"]
    command += ["--out", "data/source/speech-commands"]
    kills = 0
    with world.serve() as (server, environment):
        server.pace = 400_000  # bytes a second: a second and more for the archive
        for _ in range(20):
            process = subprocess.Popen(
                command, cwd=experiment.folder, env=environment, stderr=subprocess.DEVNULL
            )
            started = time.monotonic()
            scratch = experiment.folder / "data/scratch"
            while process.poll() is None and not scratch.is_dir():
                time.sleep(0.05)
            time.sleep(seeded.uniform(0, 1.5))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.wait()
            assert time.monotonic() - started < 60
            if (experiment.folder / "data/source/speech-commands/recipe.json").is_file():
                break
        server.pace = 0
        done = acquire(experiment, environment, "speech-commands")
    assert kills >= 2
    assert done.returncode == 0, done.stderr
    assert outputs(experiment, "speech-commands") == outputs(acquired, "speech-commands")


def test_a_folder_serves_as_the_internet_and_offline_asks_nobody(acquired, world, experiment):
    internet = experiment.folder / "internet"
    with world.serve() as (server, _):
        for path, content in server.files.items():
            if "/api/" not in path:
                (internet / path).parent.mkdir(parents=True, exist_ok=True)
                (internet / path).write_bytes(content)
    environment = world.environment(str(internet))
    done = acquire(experiment, environment, "audioset", "--offline")
    assert done.returncode == 0, done.stderr
    found = outputs(experiment, "audioset")
    assert {**found, "recipe.json": b""} == {**outputs(acquired, "audioset"), "recipe.json": b""}


def test_offline_without_a_folder_says_what_is_missing(world, experiment):
    environment = world.environment("http://127.0.0.1:9")
    done = acquire(experiment, environment, "esc50", "--offline")
    assert done.returncode == 1
    assert "ESC-50.zip" in done.stderr
    assert "offline" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_says_the_sizes_and_fetches_nothing(world, experiment):
    with world.serve() as (server, environment):
        done = acquire(experiment, environment, "audioset", "--dry-run")
        fetched = [one for one in server.log if one.method == "GET" and "/api/" not in one.path]
    assert done.returncode == 0, done.stderr
    packed = world.contents["audioset", "confit-full"]
    assert f"files     {len(packed) + 4}" in done.stdout
    assert "download" in done.stdout
    assert "at most at a time" in done.stdout
    assert "the disk has room for it" in done.stdout
    assert fetched == []
    assert not (experiment.folder / "data").exists()


def test_wrong_bytes_of_the_right_length_are_kept_aside(world, experiment):
    with world.serve() as (server, environment):
        path = "download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
        content = server.files[path]
        for address in [path, f"storage.googleapis.com/{path}"]:
            server.always[address] = faulty.wrong_bytes(content)
        done = acquire(experiment, environment, "speech-commands")
    assert done.returncode == 1
    assert "expected sha256" in done.stderr
    assert list(experiment.folder.glob("data/scratch/**/*.bad-*"))
    assert not (experiment.folder / "data/source/speech-commands/pcm.npy").exists()


def test_a_disk_that_fills_up_says_how_much_more_is_needed_and_the_run_goes_on(
    acquired, world, experiment
):
    (archive,) = world.contents["speech-commands", "tensorflow"].values()
    size = len(archive) + 1_000_000  # the archive fits, its PCM of 2.2 MB does not
    (experiment.folder / "small").mkdir()
    command = f"mount -t tmpfs -o size={size} tmpfs small && exec '{BIN / 'bat'}' acquire "
    command += "--dataset speech-commands --out data/source/speech-commands --scratch small"
    with world.serve() as (_, environment):
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command],
            cwd=experiment.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if "permitted" in done.stderr:
            pytest.skip("this system lets a test neither make a namespace nor mount a tmpfs")
        assert done.returncode == 1
        assert "the disk is full; about " in done.stderr
        assert "more are needed for the PCM of 1 files; free some space" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (experiment.folder / "data/source/speech-commands/recipe.json").exists()
        done = acquire(experiment, environment, "speech-commands")
    assert done.returncode == 0, done.stderr
    assert outputs(experiment, "speech-commands") == outputs(acquired, "speech-commands")


@pytest.mark.parametrize(
    ("source", "known"),
    [
        ({"name": "audioste"}, "audioset, esc50, speech-commands"),
        ({"name": "audioset", "mirror": "confit"}, "confit-full, confit-16khz, agkphysics"),
        ({"name": "esc50", "youtube": {}}, "youtube"),
    ],
)
def test_what_the_catalogue_does_not_know_is_told_with_what_it_knows(tmp_path, source, known):
    params = acquired_params()
    params["datasets"]["esc50"]["source"] = {"kind": "published", **source}
    experiment = new_experiment(tmp_path, params)
    done = experiment.bat("acquire", "--dataset", "esc50", "--out", "data/source/esc50")
    assert done.returncode == 1
    assert known in done.stderr
    assert done.stderr.count("\n") == 1


def test_another_archive_at_the_same_address_is_told_by_a_file_inside(world, experiment):
    changed = dict(world.contents)
    path = world.folder / "raw" / "esc50" / "meta" / "esc50.csv"
    original = path.read_bytes()
    path.write_bytes(original + b"\n")
    changed |= PACKERS["esc50"](world.folder / "raw" / "esc50")
    path.write_bytes(original)
    with World(world.folder, changed, world.catalogue).serve() as (_, environment):
        done = acquire(experiment, environment, "esc50")
    assert done.returncode == 1
    assert "meta/esc50.csv: expected md5" in done.stderr


# --- an AudioSet with every kind of loss -------------------------------------------------------


@pytest.fixture(scope="module")
def made():
    return BrokenAudioSet()


@pytest.fixture(scope="module")
def accounted(made, tmp_path_factory):
    """The broken AudioSet, acquired with YouTube asked for what no archive has."""
    folder = tmp_path_factory.mktemp("broken")
    contents = {("audioset", "lists"): made.lists(), ("audioset", "confit-full"): made.archives()}
    contents["audioset", "confit-full"] |= {"unbalanced/unbalanced_00.zip": b"never asked for"}
    world = World(folder, contents, catalogue_for(read_catalogue(), contents))
    params = acquired_params()
    dataset = params["datasets"]["audioset"]
    dataset["source"]["youtube"] = {"seconds_between_requests": 0.01, "maximum_clips": 100}
    dataset["layout"]["parts"] = list({"balanced_train": 0, "eval": 0})
    dataset |= {"minimum_duration_s": 0.5, "excludes": ["silent", "duplicate"]}
    dataset |= {"excluded": made.excluded(), "maximum_bad_share": 0.2}
    experiment = new_experiment(folder / "run", params)
    with world.serve() as (server, environment):
        for clip, (code, reason) in made.youtube().items():
            page = f"www.youtube.com/watch?v={clip}"
            server.always[page] = faulty.status(code, reason=reason)
        done = experiment.snakemake("data/pcm/audioset/ledger.parquet", env=environment)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return experiment


def test_the_ledger_of_300_clips_accounts_for_every_one(accounted, made):
    ledger = pl.read_parquet(accounted.folder / "data/pcm/audioset/ledger.parquet")
    assert ledger.height == 300
    assert dict(ledger.select("recording_id", "status").iter_rows()) == made.status_of
    broken = sum(BROKEN.values())
    assert (ledger["status"] == "ok").sum() == 300 - broken
    assert (ledger.filter(pl.col("status") != "ok")["reason"] != "").all()
    log = accounted.read("logs/account/audioset.log").decode()
    assert (
        "300 files: 260 ok, 6 missing, 4 private, 5 removed, 6 corrupt, 5 empty, 4 short, "
        "3 silent, 3 excluded, 4 duplicate" in log
    )


def test_no_clip_of_the_ledger_has_the_sound_of_another(accounted, made):
    store = PcmStore(
        accounted.folder / "data/source/audioset/pcm.npy",
        accounted.folder / "data/pcm/audioset/index.parquet",
    )
    assert sorted(store.recording_ids) == sorted(
        clip for clip, status in made.status_of.items() if status == "ok"
    )
    for clip in store.recording_ids:
        samples = made.files[clip][44:]
        assert store.pcm(clip).tobytes() == samples


def test_what_youtube_said_is_in_the_ledger_and_the_record_calls_it_stochastic(accounted):
    ledger = pl.read_parquet(accounted.folder / "data/pcm/audioset/ledger.parquet")
    asked = ledger.filter(pl.col("archive") == "youtube")
    assert set(asked["status"]) == {"missing", "private", "removed"}
    recipe = json.loads(accounted.read("data/source/audioset/recipe.json"))
    assert recipe["determinism"] == "stochastic"


def test_a_reported_version_of_the_ledger_is_frozen(accounted):
    done = accounted.bat("ledger", "versions", "audioset")
    assert done.returncode == 0, done.stderr
    assert "audioset/1 " in done.stdout
    assert "300 files: 260 ok" in done.stdout
