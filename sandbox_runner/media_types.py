"""What a file is, by its name and its first bytes, as a MIME type. Neither is believed alone."""

HEAD = 512
"""Bytes at the beginning of a file that are enough to tell."""

_BINARY, _TEXT = "application/octet-stream", "text/plain"
# By the first bytes: where each word stands, and what it tells.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (4, b"ftyp", "video/mp4"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (257, b"ustar", "application/x-tar"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"PAR1", "application/vnd.apache.parquet"),
    (0, b"\x7fELF", "application/x-executable"),
)
_OFFICE = "application/vnd.openxmlformats-officedocument."
# By the name: where the first bytes are text, or the archive that these are inside.
_OF_TEXT = {
    "csv": "text/csv", "tsv": "text/tab-separated-values", "html": "text/html", "htm": "text/html",
    "md": "text/markdown", "css": "text/css", "js": "text/javascript", "mjs": "text/javascript",
    "py": "text/x-python", "json": "application/json", "ipynb": "application/json",
    "jsonl": "application/jsonl", "xml": "application/xml", "svg": "image/svg+xml",
    "yaml": "application/yaml", "yml": "application/yaml", "toml": "application/toml",
    "tex": "application/x-tex",
}  # fmt: skip
_OF_ZIP = {
    "xlsx": _OFFICE + "spreadsheetml.sheet",
    "docx": _OFFICE + "wordprocessingml.document",
    "pptx": _OFFICE + "presentationml.presentation",
    "epub": "application/epub+zip",
    "jar": "application/java-archive",
    "whl": "application/zip",
}
_RIFF = ("image/webp", "audio/wav")


def media_type(path: str, head: bytes) -> str:
    """The type of the file at ``path`` that begins with ``head``, `HEAD` bytes or all of it.

    >>> media_type("a.csv", b"x,y"), media_type("a.png", b"x,y"), media_type("a", b"%PDF-1.7")
    ('text/csv', 'text/plain', 'application/pdf')
    """
    extension = path.rpartition("/")[2].rpartition(".")[2].lower()
    for position, word, found in _SIGNATURES:
        if head.startswith(word, position) and (found not in _RIFF or head.startswith(b"RIFF")):
            return _OF_ZIP.get(extension, found) if found == "application/zip" else found
    if not _is_text(head):
        return _BINARY
    if extension == "svg" and b"<svg" not in head:
        return _TEXT
    return _OF_TEXT.get(extension, _TEXT)


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # A character may be cut at the end.
        return len(head) >= HEAD and error.reason == "unexpected end of data"
    return True
