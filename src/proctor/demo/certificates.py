"""A throw-away certificate authority and a server certificate, made by `openssl`.

The command line tool is on every Debian and Ubuntu that has TLS clients; a
library for this would be a dependency of all users for the sake of the demo.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

ALWAYS_NAMED = ("localhost", "127.0.0.1", "::1")
VALID_DAYS = "30"

# Own configuration: that of the system may lack what strict verifiers ask for.
AUTHORITY = """[req]
distinguished_name = subject
x509_extensions = extensions
prompt = no
[subject]
CN = Proctor demo authority
[extensions]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
SERVER = """[req]
distinguished_name = subject
x509_extensions = extensions
prompt = no
[subject]
CN = localhost
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


class CertificateError(Exception):
    """The certificates could not be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of PEM files."""

    authority: Path
    chain: Path
    key: Path


def make_certificates(directory: Path, names: Sequence[str] = ()) -> Certificates:
    """Certificates for localhost and `names`, in `directory`.

    Raises CertificateError where `openssl` is missing or fails.
    """
    made = Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    authority_key = directory / "ca.key"
    _certificate(directory, AUTHORITY, made.authority, authority_key)
    alternatives = ", ".join(_alternative_name(name) for name in (*ALWAYS_NAMED, *names))
    signed_by = ["-CA", str(made.authority), "-CAkey", str(authority_key)]
    _certificate(directory, SERVER.format(names=alternatives), made.chain, made.key, signed_by)
    authority_key.unlink()
    return made


def _certificate(
    directory: Path, configuration: str, out: Path, key: Path, signed_by: Sequence[str] = ()
) -> None:
    config = directory / f"{out.stem}.cnf"
    config.write_text(configuration)
    command = [
        *("openssl", "req", "-x509", "-config", str(config), "-days", VALID_DAYS, "-nodes"),
        *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-keyout", str(key), "-out", str(out), *signed_by),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CertificateError(
            "certificates: the openssl command is missing; install the package openssl"
        ) from None
    finally:
        config.unlink()
    if done.returncode:
        raise CertificateError(f"certificates: openssl failed: {done.stderr.strip()}")


def _alternative_name(name: str) -> str:
    try:
        return f"IP:{ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"
