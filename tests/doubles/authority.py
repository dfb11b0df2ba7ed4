"""A certificate authority of our own, made by the `openssl` command, and servers it vouches for."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """Signs for host names and addresses; `trusting()` is a client that knows it alone."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        made = cls(folder)
        made._openssl(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-authority -keyout ca.key -out ca.pem "
            "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign"
        )
        return made

    def certify(self, name: str, *, subject: str = "server") -> tuple[Path, Path]:
        """A certificate for `name` (`DNS:example.test`, `IP:127.0.0.1`), and its key."""
        stem = f"{subject}_{name}".replace(":", "_")
        self._openssl(f"req -newkey rsa:2048 -nodes -subj /CN={subject} -keyout {stem}.key -out {stem}.csr")
        (self.folder / f"{stem}.ext").write_text(f"subjectAltName={name}\nauthorityKeyIdentifier=keyid\n")
        self._openssl(
            f"x509 -req -in {stem}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {stem}.ext -out {stem}.pem"
        )
        return self.folder / f"{stem}.pem", self.folder / f"{stem}.key"

    def serving(self, name: str) -> ssl.SSLContext:
        """A server's context with a certificate for `name`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certify(name))
        return context

    @property
    def certificate(self) -> Path:
        """The authority's own."""
        return self.folder / "ca.pem"

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "ca.pem"))

    def _openssl(self, arguments: str) -> None:
        subprocess.run(["openssl", *arguments.split()], cwd=self.folder, check=True, capture_output=True)
