"""Signatures with SSH keys, which most have and publish: made and checked by ssh-keygen.

A signature is of bytes and of a namespace, so that one made for another purpose never passes here.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from bat.errors import BatError

NAMESPACE = "bat-register"
# Somebody may have to type a passphrase, or touch a token.
_PATIENCE_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Signer:
    """Whose signature counts.

    Attributes
    ----------
    allowed
        File of keys by name, as ssh-keygen(1) describes under ALLOWED SIGNERS: a line such as
        ``me@example.org ssh-ed25519 AAAA...``.
    identity
        The name in that file.
    """

    allowed: Path
    identity: str


def sign(content: bytes, key: Path, *, namespace: str = NAMESPACE) -> bytes:
    """Sign bytes with an SSH key.

    Parameters
    ----------
    content
        What to sign.
    key
        Private key, or public key of one that the ssh-agent holds.
    namespace
        What the signature is for.

    Returns
    -------
    bytes
        The signature in OpenSSH's armour.

    Raises
    ------
    BatError
        Where the key cannot be used, or ssh-keygen is missing or too old.
    """
    if not key.is_file():
        raise BatError(f"{key}: no such key; make one: ssh-keygen -t ed25519 -f {key}")
    done = _ssh_keygen("sign", "-n", namespace, "-f", str(key), content=content)
    if done.returncode != 0:
        raise BatError(f"{key}: ssh-keygen did not sign with it: {_said(done.stderr)}")
    return done.stdout


def verify_signature(
    content: bytes, signature: Path, signer: Signer, *, namespace: str = NAMESPACE
) -> str:
    """Check a signature; return what ssh-keygen says of it, with the key's fingerprint.

    Raises
    ------
    BatError
        Where the signature is not one of these bytes by that signer.
    """
    if not signer.allowed.is_file():
        raise BatError(
            f"{signer.allowed}: no such file; it holds one key a line: NAME ssh-ed25519 AAAA..."
        )
    if not signature.is_file():
        raise BatError(f"{signature}: is missing; it is not signed")
    who = ("-I", signer.identity, "-f", str(signer.allowed), "-s", str(signature))
    done = _ssh_keygen("verify", "-n", namespace, *who, content=content)
    if done.returncode != 0:
        raise BatError(
            f"{signature}: is not a signature by {signer.identity} of what it lies beside: "
            f"{_said(done.stderr + done.stdout)}"
        )
    return _said(done.stdout)


def _ssh_keygen(action: str, *arguments: str, content: bytes) -> subprocess.CompletedProcess[bytes]:
    command = ["ssh-keygen", "-Y", action, *arguments]
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, timeout=_PATIENCE_S, check=False
        )
    except FileNotFoundError:
        raise BatError("ssh-keygen: not found; signatures need OpenSSH 8.1 or newer") from None
    except subprocess.TimeoutExpired:
        raise BatError(f"ssh-keygen: no answer in {_PATIENCE_S:.0f} s; try it by hand") from None
    if b"usage:" in done.stderr:
        raise BatError("ssh-keygen: knows no signatures; they need OpenSSH 8.1 or newer")
    return done


def _said(output: bytes) -> str:
    """Bring what ssh-keygen said to one line."""
    return "; ".join(filter(None, output.decode(errors="replace").splitlines()))
