"""Runs inside the builder: installs packages of npm's, as npm lays them out. Nothing of them is executed.

A package goes as near to the root as no other version of it is in the way, so that Node finds for each
package what it asked for. npm itself would be a hundred megabytes in the image; scripts, links to programs
and what comes from anywhere but the registry are left out on purpose.
"""

import base64
import hashlib
import io
import json
import os
import platform
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from collections import deque

from semver import Range, version_key

FILES = "/workspace/files"
CPU = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


class Failed(Exception):
    """What cannot be installed, in words."""


class Registry:
    """What a registry says of its packages; each is asked for once."""

    def __init__(self, address, show):
        self._address = address
        self._show = show
        self._known = {}

    def manifest(self, name, wanted):
        """What the registry says of the version that npm would choose."""
        versions, tags = self._document(name)
        if wanted in tags:
            return versions[tags[wanted]]
        allowed = Range(wanted)
        found = [each for each in versions if allowed.matches(each)]
        if not found:
            raise Failed(f"no version of {name} is {wanted!r}")
        latest = tags.get("latest")
        if latest in found:
            return versions[latest]
        return versions[max(found, key=lambda each: ("deprecated" not in versions[each], version_key(each)))]

    def fetch(self, address):
        try:
            with urllib.request.urlopen(address, timeout=120) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise Failed(f"the registry answered {error.code} to {address}") from None

    def _document(self, name):
        if name not in self._known:
            self._show(f"looks for {name}")
            document = json.loads(self.fetch(f"{self._address}/{urllib.parse.quote(name, safe='@')}"))
            self._known[name] = document.get("versions") or {}, document.get("dist-tags") or {}
        return self._known[name]


class Node:
    """A package in its place. ``closed`` are names that something below found further up."""

    def __init__(self, parent, name, manifest):
        self.parent = parent
        self.name = name
        self.manifest = manifest
        self.children = {}
        self.closed = set()

    @property
    def folder(self):
        inner = "node_modules" if self.parent and self.parent.parent else ""
        return os.path.join(self.parent.folder, inner, self.name) if self.parent else FILES


def install(registry, wanted):
    """The root of the tree, with a package for each of ``wanted``."""
    root = Node(None, "", {"dependencies": wanted})
    todo = deque([root])
    while todo:
        node = todo.popleft()
        for of, name, spec, optional in _needs(node):
            try:
                added = _resolve(registry, of, name, spec)
            except Failed:
                if not optional:
                    raise
                continue
            if added:
                todo.append(added)
    return root


def _needs(node):
    """Each package that ``node`` needs: for whom it must be found, its name, which, and if it may lack."""
    manifest = node.manifest
    bundled = manifest.get("bundleDependencies") or manifest.get("bundledDependencies") or ()
    bundled = manifest.get("dependencies") or () if bundled is True else bundled
    optional = manifest.get("optionalDependencies") or {}
    for name, spec in sorted({**(manifest.get("dependencies") or {}), **optional}.items()):
        if name not in bundled:
            yield node, name, spec, name in optional
    about = manifest.get("peerDependenciesMeta") or {}
    for name, spec in sorted((manifest.get("peerDependencies") or {}).items()):
        if not (about.get(name) or {}).get("optional"):
            yield node.parent or node, name, spec, False


def _resolve(registry, requester, name, spec):
    """The node that was added for it, if one was."""
    real, wanted = _real(name, spec)
    above = []
    node = requester
    while node is not None and name not in node.children:
        above.append(node)
        node = node.parent
    if node is not None:
        there = node.children[name].manifest
        if there["name"] == real and _satisfies(registry, real, there["version"], wanted):
            _close(above, name)
            return None
    manifest = registry.manifest(real, wanted)
    if not _fits(manifest):
        raise Failed(f"{real} {manifest['version']} is for other machines")
    open_ones = [position for position, each in enumerate(above) if name not in each.closed]
    if not open_ones:  # a peer that conflicts: what is there stays, as with npm's --legacy-peer-deps
        return None
    place = above[open_ones[-1]]
    _close(above[: open_ones[-1]], name)
    added = place.children[name] = Node(place, name, manifest)
    return added


def _close(nodes, name):
    for node in nodes:
        node.closed.add(name)


def _real(name, spec):
    """The package that is meant by a dependency called ``name``."""
    if spec.startswith("npm:"):
        name, _, spec = spec[4:].rpartition("@")
    if any(sign in spec for sign in ":/"):
        raise Failed(f"{name} is to come from {spec!r}, which is no registry")
    return name, spec.strip() or "*"


def _satisfies(registry, name, version, wanted):
    tagged = registry._document(name)[1].get(wanted)
    return version == tagged if tagged else Range(wanted).matches(version)


def _fits(manifest):
    return all(
        _among(manifest.get(key), ours) for key, ours in (("os", "linux"), ("cpu", CPU), ("libc", "glibc"))
    )


def _among(listed, ours):
    listed = [listed] if isinstance(listed, str) else listed or []
    refused = [each[1:] for each in listed if each.startswith("!")]
    wanted = [each for each in listed if not each.startswith("!")]
    return ours not in refused and (not wanted or ours in wanted or "any" in wanted)


def write(registry, root):
    """Writes the packages below ``root``; the name, version and address of each."""
    found = []
    todo = deque(root.children.values())
    while todo:
        node = todo.popleft()
        distribution = node.manifest["dist"]
        data = registry.fetch(distribution["tarball"])
        _require_whole(data, distribution, node.name)
        _unpack(data, node.folder)
        found.append((node.manifest["name"], node.manifest["version"], distribution["tarball"]))
        todo.extend(node.children.values())
    return found


def _require_whole(data, distribution, name):
    """Raises Failed where the file is not the one that the registry told of."""
    for entry in (distribution.get("integrity") or "").split():
        kind, _, digest = entry.partition("-")
        if kind == "sha512":
            if base64.b64decode(digest) != hashlib.sha512(data).digest():
                raise Failed(f"the file of {name} is not the one that the registry told of")
            return
    if distribution.get("shasum") != hashlib.sha1(data).hexdigest():
        raise Failed(f"the file of {name} is not the one that the registry told of")


def _unpack(data, folder):
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        for entry in archive:
            parts = entry.name.split("/")[1:]
            if not entry.isreg() or not parts:
                continue
            if any(part in ("", ".", "..") for part in parts):
                raise Failed(f"a package has a file called {entry.name[:100]!r}")
            path = os.path.join(folder, *parts)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(archive.extractfile(entry).read())
            os.chmod(path, 0o755 if entry.mode & 0o111 else 0o644)


def run(index, requirements, folder, show):
    """Installs; the name, version and address of each package, or None where ``show`` was told why not."""
    registry = Registry(index, show)
    pairs = (requirement.rpartition("@") for requirement in requirements)
    try:
        return write(registry, install(registry, {name: wanted for name, _, wanted in pairs}))
    except (Failed, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        show(str(error) if isinstance(error, Failed) else f"the registry makes no sense: {error!r}")
        return None
