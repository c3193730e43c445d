"""An image is what its digests say, made for this machine, of kinds that are known, and not too large."""

import subprocess

import pytest
from oci_layouts import LAYER, Layout, layer_of

from sandbox_runner.errors import BuildFailed, InvalidRequest
from sandbox_runner.provision import layout
from sandbox_runner.provision.layout import read_layout, unpacked
from sandbox_runner.provision.references import read_reference

pytestmark = pytest.mark.usefixtures("amd64")
ONE, TWO = layer_of({"one": b"1" * 3000}), layer_of({"two": b"2"})


@pytest.fixture
def amd64(monkeypatch):
    monkeypatch.setattr(layout.platform, "machine", lambda: "x86_64")


def contents(folder, *, most: int = 1 << 20) -> list[bytes]:
    image, found = read_layout(folder), []
    for layer in image.layers:
        with unpacked(image, layer, most=most) as archive:
            data = bytearray()
            while piece := archive.read(100_000):
                data += piece
        found.append(bytes(data))
    return found


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True).stdout


PACKED = {"gzip": {}, "plain": {"pack": bytes}, "zstd": {"pack": zstd}}


@pytest.mark.parametrize("how", PACKED)
def test_each_compression_is_taken(tmp_path, how):
    image = Layout(ONE, TWO, process={"Cmd": ["x"]}, **PACKED[how]).write(tmp_path / "image")
    assert contents(image) == [ONE, TWO]
    assert read_layout(image).settings == {"Cmd": ["x"]}


def test_zstd_without_its_program_says_what_to_install(tmp_path, monkeypatch):
    image = Layout(ONE, pack=zstd).write(tmp_path / "image")
    monkeypatch.setattr(layout.shutil, "which", lambda name: None)
    with pytest.raises(BuildFailed, match="install the package zstd"):
        contents(image)


def tampered(image):
    image.tampered[0] = image.blobs[0][:-1] + b"?"


def shortened(image):
    image.tampered[0] = image.blobs[0][:-1]


def other_content(image):
    image.config["rootfs"]["diff_ids"][0] = f"sha256:{'0' * 64}"


def other_digest(image):
    image.config["rootfs"]["diff_ids"][0] = "../../etc/passwd"


def one_too_many(image):
    image.config["rootfs"]["diff_ids"].append(f"sha256:{'0' * 64}")


def broken(image):
    image.blobs[0] = image.blobs[0][:40]


def changed(**parts):
    return lambda image: vars(image).update(parts)


def made_for(**words):
    return lambda image: image.config.update(words)


REFUSED = {
    "a blob with another content": (tampered, "another digest"),
    "a blob of another size": (shortened, "another size"),
    "a layer that is not the image's": (other_content, "not what the image says"),
    "a digest that is none": (other_digest, "not a digest"),
    "more digests than layers": (one_too_many, "makes no sense"),
    "a layer that cannot be decompressed": (broken, "cannot be decompressed"),
    "another architecture": (made_for(architecture="riscv64"), "made for linux/riscv64, and this machine"),
    "another system": (made_for(os="windows"), "made for windows"),
    "no system at all": (made_for(os=None), "made for None"),
    "no root filesystem": (made_for(rootfs=None), "cannot be read"),
    "an encrypted layer": (changed(kinds=[f"{LAYER}+gzip+encrypted"]), "encrypted"),
    "an unknown layer": (changed(kinds=["application/x-squashfs"]), "not known here"),
    "an unknown configuration": (changed(config_kind="application/vnd.wasm.config"), "not known here"),
    "an unknown manifest": (changed(manifest_kind="application/vnd.else"), "not known here"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_as_it_says_or_cannot_run_here_is_refused(tmp_path, name):
    change, reason = REFUSED[name]
    image = Layout(ONE)
    change(image)
    with pytest.raises(BuildFailed, match=reason):
        contents(image.write(tmp_path / "image"))


def test_an_image_that_grows_is_refused_before_it_has_grown(tmp_path):
    image = Layout(layer_of({"bomb": bytes(5 << 20)})).write(tmp_path / "image")
    with pytest.raises(BuildFailed, match="raise max_image"):
        contents(image, most=1 << 20)
    assert len(contents(image, most=6 << 20)[0]) > 5 << 20


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, "{}", '{"manifests": []}', '{"manifests": [1]}'])
def test_an_index_that_makes_no_sense_is_refused(tmp_path, text):
    image = Layout(ONE).write(tmp_path / "image")
    (image / "index.json").write_text(text)
    with pytest.raises(BuildFailed):
        read_layout(image)


NAMES = {
    "debian": ("docker://debian", "debian:latest"),
    "docker://docker.io/library/debian:stable": ("docker://docker.io/library/debian:stable", "debian:stable"),
    "quay.example:5000/app": ("docker://quay.example:5000/app", "quay.example:5000/app:latest"),
    "docker-daemon:team/app:2": ("docker-daemon:team/app:2", "team/app:2"),
    "docker-archive:/tmp/My App.tar": ("docker-archive:/tmp/My App.tar", "my-app:latest"),
    "docker-archive:app.tar:team/app:2": ("docker-archive:app.tar:team/app:2", "team/app:2"),
    "oci:/srv/layout:stable": ("oci:/srv/layout:stable", "layout:stable"),
    "oci-archive:app.oci.tar": ("oci-archive:app.oci.tar", "app.oci:latest"),
}  # fmt: skip


@pytest.mark.parametrize("text", NAMES)
def test_a_reference_has_a_source_and_a_name(text):
    reference = read_reference(text)
    assert (reference.source, reference.name) == NAMES[text]
    assert read_reference(text, name="mine:1").name == "mine:1"


@pytest.mark.parametrize(
    "text", ["", "--all", "docker://", "docker://-x", "oci:", "a b", "docker:../x", "dir:/etc"]
)
def test_what_names_no_image_is_refused_with_what_to_give(text):
    with pytest.raises(InvalidRequest, match=r"give a registry's name|--as"):
        read_reference(text)
