"""SSH keys of made-up people."""

import subprocess


def make_key(path):
    """A new key of the user's, without passphrase."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)],
        check=True,
    )
    return path


def allow(path, **keys):
    """A file of allowed signers: public keys by name."""
    lines = [f"{name} {key.with_suffix('.pub').read_text()}" for name, key in keys.items()]
    path.write_text("".join(lines))
    return path
