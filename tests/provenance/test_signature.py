"""Signatures by real SSH keys: one passes, and only for what, whom and why it was made."""

import subprocess

import pytest

from bat.errors import BatError
from bat.provenance.signature import Signer, sign, verify_signature
from provenance.keys import allow, make_key

CONTENT = b"what is signed\n"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return make_key(folder / "mine"), make_key(folder / "other")


@pytest.fixture
def signed(tmp_path, keys):
    """A signature, and who should have made it."""
    (tmp_path / "head.sig").write_bytes(sign(CONTENT, keys[0]))
    allowed = allow(tmp_path / "signers", me=keys[0], another=keys[1])
    return tmp_path / "head.sig", Signer(allowed=allowed, identity="me")


def refused(content, signature, signer):
    with pytest.raises(BatError) as caught:
        verify_signature(content, signature, signer)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_signature_passes_and_names_the_key(signed, keys):
    said = verify_signature(CONTENT, *signed)
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(keys[0])], capture_output=True, text=True, check=True
    )
    fingerprint = shown.stdout.split()[1]
    assert fingerprint.startswith("SHA256:")
    assert said == f'Good "bat-register" signature for me with ED25519 key {fingerprint}'


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"\n", b"What is signed\n"])
def test_other_bytes_are_refused(signed, content):
    assert "incorrect signature" in refused(content, *signed)


def test_a_signature_by_another_key_is_refused_although_that_is_allowed_too(signed, keys):
    signature, signer = signed
    signature.write_bytes(sign(CONTENT, keys[1]))
    assert "is not a signature by me" in refused(CONTENT, signature, signer)
    assert verify_signature(CONTENT, signature, Signer(allowed=signer.allowed, identity="another"))


def test_a_key_that_nobody_allowed_is_refused(signed, tmp_path, keys):
    signature, signer = signed
    signature.write_bytes(sign(CONTENT, make_key(tmp_path / "third")))
    assert "is not a signature by me" in refused(CONTENT, signature, signer)


def test_a_signature_for_another_purpose_is_refused(signed, keys):
    signature, signer = signed
    made = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-n", "file", "-f", str(keys[0])],
        input=CONTENT, capture_output=True, check=True,
    )  # fmt: skip
    signature.write_bytes(made.stdout)
    assert "namespace does not match" in refused(CONTENT, signature, signer)


def test_a_name_that_is_not_there_is_refused(signed):
    signature, signer = signed
    nobody = Signer(allowed=signer.allowed, identity="nobody")
    assert "is not a signature by nobody" in refused(CONTENT, signature, nobody)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 300])
def test_what_is_no_signature_is_refused(signed, content):
    signature, signer = signed
    signature.write_bytes(content)
    refused(CONTENT, signature, signer)


def test_missing_files_are_named(signed, tmp_path):
    signature, signer = signed
    absent = tmp_path / "absent"
    assert f"{absent}: is missing" in refused(CONTENT, absent, signer)
    nobody = Signer(allowed=absent, identity="me")
    assert f"{absent}: no such file" in refused(CONTENT, signature, nobody)
    with pytest.raises(BatError, match=f"{absent}: no such key"):
        sign(CONTENT, absent)


def test_what_is_no_key_does_not_sign(tmp_path):
    (tmp_path / "key").write_text("hello")
    with pytest.raises(BatError, match=r"key: ssh-keygen did not sign with it: .+") as caught:
        sign(CONTENT, tmp_path / "key")
    assert len(str(caught.value).splitlines()) == 1


def test_a_name_is_never_an_option_or_a_command(signed, tmp_path, keys):
    signature, signer = signed
    for identity in ("-h", "$(touch oops)", "me; touch oops", "*"):
        odd = Signer(allowed=signer.allowed, identity=identity)
        assert f"is not a signature by {identity} of" in refused(CONTENT, signature, odd)
    assert not (tmp_path / "oops").exists()


def test_without_ssh_keygen_it_is_said(signed, keys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "ssh-keygen: not found; signatures need OpenSSH 8.1" in refused(CONTENT, *signed)
    with pytest.raises(BatError, match="ssh-keygen: not found"):
        sign(CONTENT, keys[0])


def test_an_ssh_keygen_without_signatures_is_said_to_be_too_old(
    signed, keys, tmp_path, monkeypatch
):
    old = tmp_path / "bin" / "ssh-keygen"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'unknown option -- Y\nusage: ssh-keygen [-q]' >&2\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:/usr/bin:/bin")
    assert "they need OpenSSH 8.1 or newer" in refused(CONTENT, *signed)
    with pytest.raises(BatError, match=r"they need OpenSSH 8\.1"):
        sign(CONTENT, keys[0])
