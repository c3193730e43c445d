"""OCI layouts by hand: images as nobody's tool would write them."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

KIND = "application/vnd.oci.image"
LAYER = f"{KIND}.layer.v1.tar"


def layer_of(files: dict[str, bytes], *members: tarfile.TarInfo) -> bytes:
    """An archive with ``files``, all executable, and ``members`` without data."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for member in members:
            tar.addfile(member)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
    return written.getvalue()


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Layout:
    """An image of ``layers``; each part can be changed before it is written."""

    def __init__(self, *layers: bytes, process: dict | None = None, pack=gzip.compress) -> None:
        self.blobs = [pack(layer) for layer in layers]
        self.kinds = [f"{LAYER}+gzip" for _ in layers]
        self.config = {
            "os": "linux",
            "architecture": "amd64",
            "config": process or {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
        self.config_kind = f"{KIND}.config.v1+json"
        self.manifest_kind = f"{KIND}.manifest.v1+json"
        self.tampered: dict[int, bytes] = {}

    def write(self, folder: Path) -> Path:
        self._blobs = folder / "blobs" / "sha256"
        self._blobs.mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        manifest = {
            "schemaVersion": 2,
            "mediaType": self.manifest_kind,
            "config": self._put(json.dumps(self.config).encode(), self.config_kind),
            "layers": [self._put(*each) for each in zip(self.blobs, self.kinds, strict=True)],
        }
        described = self._put(json.dumps(manifest).encode(), self.manifest_kind)
        described["annotations"] = {"org.opencontainers.image.ref.name": "image"}
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
        for number, data in self.tampered.items():
            (self._blobs / digest_of(self.blobs[number]).removeprefix("sha256:")).write_bytes(data)
        return folder

    def _put(self, data: bytes, kind: str) -> dict:
        (self._blobs / digest_of(data).removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}
