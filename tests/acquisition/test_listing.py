import hashlib
import json
from dataclasses import replace

import pytest

from acquisition.hub import commit_of, fake_internet, one_file_each, page_of, tree
from acquisition.server import Fault, FaultServer, redirect, status
from bat.acquisition.catalogue import Catalogue, published, published_weights, read_catalogue
from bat.acquisition.listing import list_files, list_weights
from bat.acquisition.network import Network
from bat.errors import BatError

AUDIOSET = published("audioset")
FULL = AUDIOSET.mirror()
API = "huggingface.co/api/datasets/confit/audioset-full"
CLIPS = {
    "balanced/balanced_train_segments.zip": b"balanced",
    "eval/eval_segments.zip": b"evaluation",
    "unbalanced/unbalanced_train_segments_part01_full.zip": b"one",
    "unbalanced/unbalanced_train_segments_part00_full.zip": b"nought",
    "unbalanced/notes/deeper.zip": b"a pattern's star does not match a slash",
    "unbalanced/readme.txt": b"of no pattern",
}
PAGES = fake_internet(read_catalogue(), {("audioset", "confit-full"): CLIPS})
NETWORK = Network(tries=1, timeout_s=5.0, backoff_s=0.0)


@pytest.fixture
def site():
    with FaultServer(PAGES) as running:
        yield running


@pytest.fixture
def network(site):
    return replace(NETWORK, mirror=site.url)


def names(listed):
    return [file.name for file in listed.files]


def test_a_repository_is_listed_by_the_real_client_with_sizes_checksums_and_places(network):
    listed = list_files(AUDIOSET, network=network)
    assert listed.revision == FULL.revision
    assert names(listed) == [
        "balanced_train_segments.csv",
        "class_labels_indices.csv",
        "eval_segments.csv",
        "unbalanced_train_segments.csv",
        "balanced/balanced_train_segments.zip",
        "eval/eval_segments.zip",
        "unbalanced/unbalanced_train_segments_part00_full.zip",
        "unbalanced/unbalanced_train_segments_part01_full.zip",
    ]
    clips = listed.files[-1]
    assert clips.bytes == 3
    assert clips.sha256 == hashlib.sha256(b"one").hexdigest()
    assert (clips.contents, clips.into) == ("zip", "audio/unbalanced_train")
    assert clips.urls == (
        "https://huggingface.co/datasets/confit/audioset-full/resolve/"
        f"{FULL.revision}/unbalanced/unbalanced_train_segments_part01_full.zip",
    )
    assert {file.contents for file in listed.files[:4]} == {"file"}


def test_listed_addresses_lead_to_the_listed_bytes(site, network):
    with network.session() as session:
        for file in list_files(AUDIOSET, network=network).files[4:]:
            body = session.get(network.locate(file.urls[0]), timeout=5).content
            assert (len(body), hashlib.sha256(body).hexdigest()) == (file.bytes, file.sha256)


def test_only_files_of_wanted_parts_are_listed(network):
    listed = list_files(AUDIOSET, parts=["eval"], network=network)
    assert names(listed) == [
        "class_labels_indices.csv",
        "eval_segments.csv",
        "eval/eval_segments.zip",
    ]
    with pytest.raises(BatError, match="no such part 'dev'; known are balanced_train, unbal"):
        list_files(AUDIOSET, parts=["dev"], network=network)


def test_a_branch_is_resolved_to_its_commit_before_anything_is_listed(site, network):
    listed = list_files(AUDIOSET, revision="main", parts=["eval"], network=network)
    assert listed.revision == FULL.revision
    assert f"/resolve/{FULL.revision}/" in listed.files[-1].urls[0]
    paths = [request.path for request in site.log]
    assert paths == [f"{API}/revision/main", f"{API}/tree/{FULL.revision}"]


def test_where_no_commit_is_known_the_newest_is_taken_and_told():
    weights = published_weights("sslam")
    contents = one_file_each(weights)
    with FaultServer(fake_internet(read_catalogue(), contents)) as site:
        listed = list_weights(weights, network=replace(NETWORK, mirror=site.url))
    assert listed.revision == commit_of(weights.mirror())
    assert names(listed) == ["SSLAM_Pretrained/checkpoint_last.pt"]
    assert listed.files[0].urls[0] == (
        "https://huggingface.co/ta012/SSLAM/resolve/"
        f"{listed.revision}/SSLAM_Pretrained/checkpoint_last.pt"
    )


@pytest.mark.parametrize(
    "entry",
    [entry for entry in read_catalogue().entries if entry.name != "meetings"],
    ids=lambda entry: entry.name,
)
def test_every_mirror_of_the_catalogue_can_be_listed(entry):
    list_all = list_weights if entry in read_catalogue().weights else list_files
    contents = one_file_each(entry)
    with FaultServer(fake_internet(read_catalogue(), contents)) as site:
        network = replace(NETWORK, mirror=site.url)
        for mirror in entry.mirrors:
            listed = list_all(entry, mirror.name, network=network)
            made = contents[entry.name, "lists"] | contents[entry.name, mirror.name]
            assert sorted(names(listed)) == sorted(made)
            if mirror.kind == "hub":
                assert all(f.bytes == len(made[f.name]) for f in listed.files if f.sha256)


def test_a_listing_of_several_pages_is_followed_to_its_end(site, network):
    path = f"{API}/tree/{FULL.revision}"
    link = {"Link": f'<{site.url}/{path}/more>; rel="next"'}
    pages = [json.dumps(part).encode() for part in (tree(CLIPS)[:3], tree(CLIPS)[3:])]
    site.always[path] = Fault(headers=link, body=pages[0])
    site.files[f"{path}/more"] = pages[1]
    assert len(list_files(AUDIOSET, network=network).files) == 8


def test_a_file_outside_lfs_has_no_sha256(network, site):
    page = f"{API}/tree/{FULL.revision}"
    entries = json.loads(site.files[page])
    for entry in entries:
        entry.pop("lfs", None)
    site.files[page] = json.dumps(entries).encode()
    clips = list_files(AUDIOSET, network=network).files[-1]
    assert (clips.sha256, clips.bytes) == (None, 3)


def test_a_pattern_without_a_file_is_an_error(site, network):
    site.files[f"{API}/tree/{FULL.revision}"] = json.dumps(tree({"eval/a.zip": b""})).encode()
    with pytest.raises(BatError, match=r"expected files like balanced/\*\.zip, found none; take"):
        list_files(AUDIOSET, network=network)
    assert len(list_files(AUDIOSET, parts=["eval"], network=network).files) == 3


@pytest.mark.parametrize("path", ["../../etc/passwd", "eval/../../a.zip", "/eval/a.zip", "a\\b"])
def test_a_path_that_leaves_its_folder_is_refused(site, network, path):
    site.files[f"{API}/tree/{FULL.revision}"] = json.dumps(tree({path: b""})).encode()
    with pytest.raises(BatError, match=f"at {FULL.revision}: expected a relative path"):
        list_files(AUDIOSET, network=network)


def refused(code, error=None):
    return Fault(
        status=code,
        headers={"X-Error-Code": error} if error else {},
        body=b"<html>hf_secret</html>",
    )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (refused(403, "GatedRepo"), "its owners ask for consent; give it at https://huggingface"),
        (refused(401, "GatedRepo"), "its owners ask for consent"),
        (refused(401, "RepoNotFound"), "no such repository, or a private one; see https://hugg"),
        (refused(404, "RepoNotFound"), "no such repository, or a private one"),
        (refused(404, "RevisionNotFound"), f"no revision {FULL.revision}; see https://hugg"),
        (refused(401), r"access refused \(status 401\); see .*, then log in with: hf auth login"),
        (refused(403), r"access refused \(status 403\)"),
        (refused(404), r"status 404; try again later, or take another mirror"),
        (refused(429), "too many requests"),
        (refused(503), "status 503; try again later"),
        (refused(200), "expected a listing, found something else"),
    ],
)
def test_what_the_hub_refuses_is_said_in_one_line(site, network, monkeypatch, answer, message):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    site.always[f"{API}/revision/{FULL.revision}"] = answer
    with pytest.raises(BatError, match=message) as caught:
        list_files(AUDIOSET, network=network)
    text = str(caught.value)
    assert text.startswith("confit/audioset-full on the Hugging Face Hub: ")
    assert "\n" not in text and "secret" not in text


def test_a_server_s_error_is_asked_again_and_what_is_not_there_is_not(site, network):
    page = f"{API}/revision/{FULL.revision}"
    site.faults[page] = [status(503), status(429)]
    patient = replace(network, tries=3)
    assert len(list_files(AUDIOSET, network=patient).files) == 8
    site.faults[page] = [status(503)] * 3
    with pytest.raises(BatError, match="status 503"):
        list_files(AUDIOSET, network=patient)
    assert len(site.asked(page)) == 6
    site.always[page] = refused(404, "RepoNotFound")
    with pytest.raises(BatError, match="no such repository"):
        list_files(AUDIOSET, network=patient)
    assert len(site.asked(page)) == 7


def test_no_connection_and_no_answer_are_one_line(monkeypatch):
    from socket import create_server

    with create_server(("127.0.0.1", 0)) as mute:  # accepts, and never answers
        silent = f"http://user:secret@127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(BatError, match=r"no answer \(ReadTimeout\); try again") as caught:
            list_files(AUDIOSET, network=replace(NETWORK, mirror=silent, timeout_s=0.2))
        assert "secret" not in str(caught.value)
    with pytest.raises(BatError, match=r"no answer \(ConnectError\)") as caught:
        list_files(AUDIOSET, network=replace(NETWORK, mirror=silent))
    assert "secret" not in str(caught.value)


def test_a_tree_that_hangs_is_given_up(site, network, monkeypatch):
    import huggingface_hub.utils._http as client

    def no_retries(method, url, **options):
        return next(client._http_backoff_base(method, url, max_retries=0, **options))

    monkeypatch.setattr("huggingface_hub.utils._pagination.http_backoff", no_retries)
    from socket import create_server

    with create_server(("127.0.0.1", 0)) as mute:
        away = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        site.always[f"{API}/tree/{FULL.revision}"] = redirect(away, code=307)
        with pytest.raises(BatError, match=r"no answer \(ReadTimeout\)"):
            list_files(AUDIOSET, network=replace(network, timeout_s=0.2))


def test_a_mirror_is_shown_no_token_and_messages_of_the_client_stay_silent(
    site, network, monkeypatch, capfd, caplog
):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    site.always[f"{API}/tree/{FULL.revision}"] = refused(404, "EntryNotFound")
    mirror = site.url.replace("//", "//user:secret@")
    with pytest.raises(BatError):
        list_files(AUDIOSET, network=replace(network, mirror=mirror))
    assert site.log and "hf_secret" not in str(site.log)
    printed = capfd.readouterr()
    assert "secret" not in printed.out + printed.err + caplog.text


def test_a_folder_stands_in_for_the_hub(tmp_path):
    for page, content in PAGES.items():
        if "/api/" not in page:
            (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / page).write_bytes(content)
    network = replace(NETWORK, mirror=str(tmp_path), offline=True)
    listed = list_files(AUDIOSET, network=network)
    assert listed.revision == FULL.revision
    assert len(listed.files) == 8
    assert network.locate(listed.files[-1].urls[0]).read_bytes() == b"one"
    assert listed.files[-1].bytes == 3
    with pytest.raises(BatError, match=r"resolve/dev: expected the files of confit/audioset-full"):
        list_files(AUDIOSET, revision="dev", network=network)


def test_in_a_folder_the_only_revision_is_taken_where_none_is_named(tmp_path):
    weights = published_weights("sslam")
    revisions = tmp_path / "huggingface.co/ta012/SSLAM/resolve"
    network = replace(NETWORK, mirror=str(tmp_path))
    with pytest.raises(BatError, match="expected the folder of one revision, found none"):
        list_weights(weights, network=network)
    (revisions / "abc/SSLAM_Pretrained").mkdir(parents=True)
    (revisions / "abc/SSLAM_Pretrained/checkpoint_last.pt").write_bytes(b"weights")
    listed = list_weights(weights, network=network)
    assert (listed.revision, listed.files[0].bytes) == ("abc", 7)
    (revisions / "def").mkdir()
    with pytest.raises(BatError, match="found abc, def; say which revision is wanted"):
        list_weights(weights, network=network)
    assert list_weights(weights, revision="abc", network=network) == listed


def test_offline_without_a_folder_says_what_would_help():
    with pytest.raises(
        BatError, match="offline, so the repository cannot be listed; give a mirror"
    ):
        list_files(AUDIOSET, network=replace(NETWORK, offline=True))


def test_fixed_addresses_are_listed_without_asking_anyone():
    offline = replace(NETWORK, offline=True)
    listed = list_files(published("librispeech"), parts=["dev-clean"], network=offline)
    assert (names(listed), listed.revision) == (["dev-clean.tar.gz"], None)
    assert listed.files[0].bytes == 337_926_286
    assert len(listed.files[0].urls) == 3
    with pytest.raises(BatError, match="mirror openslr: its addresses are fixed"):
        list_files(published("librispeech"), revision="main", network=offline)


def test_weights_are_one_file():
    weights = published_weights("eat-base-epoch30")
    made = {(weights.name, weights.mirrors[0].name): {"a.pt": b"one", "b.pt": b"two"}}
    with FaultServer(fake_internet(read_catalogue(), made)) as site:
        network = replace(NETWORK, mirror=site.url)
        with pytest.raises(BatError, match=r"epoch30: expected one file, found a\.pt, b\.pt; mend"):
            list_weights(weights, network=network)


def test_a_package_is_left_to_pip():
    with pytest.raises(BatError, match=r"mirror python: speakerbox 1\.2\.0 is fetched by pip"):
        list_files(published("meetings"), network=NETWORK)


def test_two_files_of_one_name_are_an_error(network):
    plain = read_catalogue().model_dump(mode="json")
    plain["datasets"][0]["lists"][0]["name"] = "eval/eval_segments.zip"
    dataset = Catalogue.model_validate(plain).dataset("audioset")
    with pytest.raises(BatError, match=r"two files are called eval/eval_segments\.zip"):
        list_files(dataset, network=network)


def test_pages_of_the_made_internet_are_where_locate_looks(site, network):
    url = list_files(AUDIOSET, network=network).files[-1].urls[0]
    assert network.locate(url) == f"{site.url}/{page_of(url)}"
