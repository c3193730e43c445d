"""`display` and the classes of `IPython.display` that hold data of one kind, over `sandbox_runner_display`."""

import base64
import json as _json
import mimetypes

from sandbox_runner_display import display, publish

__all__ = [
    "HTML", "JSON", "SVG", "Audio", "Code", "DisplayObject", "GeoJSON", "IFrame", "Image", "Javascript",
    "Latex", "Markdown", "Math", "Pretty", "TextDisplayObject", "Video", "clear_output", "display",
    "display_html", "display_jpeg", "display_json", "display_latex", "display_markdown", "display_png",
    "display_pretty", "display_svg", "publish_display_data", "set_matplotlib_formats", "update_display",
]  # fmt: skip


class DisplayObject:
    """`data` as it is, or the contents of the file `filename`. There is no network for a `url`."""

    _as_bytes = False

    def __init__(self, data=None, url=None, filename=None, metadata=None):
        if isinstance(data, DisplayObject):
            data = data.data
        if (
            url is None
            and filename is None
            and isinstance(data, str)
            and data.startswith(("http://", "https://"))
        ):
            url, data = data, None
        self.data = data
        self.url = url
        self.filename = None if filename is None else str(filename)
        self.metadata = metadata or {}
        self.reload()

    def __repr__(self):
        return f"<{type(self).__module__}.{type(self).__qualname__} object>"

    def reload(self):
        if self.filename is not None:
            with open(self.filename, "rb" if self._as_bytes else "r") as file:
                self.data = file.read()
        elif self.data is None and self.url is not None:
            raise OSError(f"{self.url} cannot be read: a sandbox has no network; give data or a filename")


class TextDisplayObject(DisplayObject):
    def __init__(self, data=None, url=None, filename=None, metadata=None):
        if data is not None and not isinstance(data, (str, DisplayObject)):
            raise TypeError(f"{type(self).__name__} expects text, not {data!r}")
        super().__init__(data, url, filename, metadata)


class Pretty(TextDisplayObject):
    def _repr_pretty_(self, printer, _again):
        printer.text(self.data)


class HTML(TextDisplayObject):
    def _repr_html_(self):
        return self.data

    __html__ = _repr_html_


class Markdown(TextDisplayObject):
    def _repr_markdown_(self):
        return self.data


class Math(TextDisplayObject):
    def _repr_latex_(self):
        return r"$\displaystyle %s$" % self.data.strip("$")


class Latex(TextDisplayObject):
    def _repr_latex_(self):
        return self.data


class SVG(DisplayObject):
    def _repr_svg_(self):
        text = self.data.decode() if isinstance(self.data, bytes) else self.data
        start = text.find("<svg")
        return text if start < 0 else text[start:]


class JSON(DisplayObject):
    def __init__(self, data=None, url=None, filename=None, expanded=False, metadata=None, root="root", **_):
        super().__init__(data, url, filename, metadata)
        if isinstance(self.data, str):
            self.data = _json.loads(self.data)

    def _repr_json_(self):
        return self.data


class GeoJSON(JSON):
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"application/geo+json": self.data, "text/plain": repr(self)}


class Javascript(TextDisplayObject):
    def __init__(self, data=None, url=None, filename=None, lib=None, css=None):
        super().__init__(data, url, filename)

    def _repr_javascript_(self):
        return self.data


class Code(TextDisplayObject):
    def __init__(self, data=None, url=None, filename=None, language=None):
        self.language = language
        super().__init__(data, url, filename)

    def _repr_markdown_(self):
        return f"```{self.language or ''}\n{self.data}\n```"

    def __repr__(self):
        return self.data


class _Media(DisplayObject):
    """Binary data, displayed as what its first bytes, its name or `mimetype` say."""

    _as_bytes = True

    def _kind(self):
        raise NotImplementedError

    def _repr_mimebundle_(self, include=None, exclude=None):
        if self.data is None:
            return {}
        data = base64.b64decode(self.data) if isinstance(self.data, str) else self.data
        return {self._kind(): data, "text/plain": repr(self)}


class Image(_Media):
    def __init__(self, data=None, url=None, filename=None, format=None, embed=None, width=None, height=None,
                 retina=False, unconfined=False, metadata=None, alt=None):  # fmt: skip
        self.format, self.width, self.height, self.alt = format, width, height, alt
        if (
            filename is None
            and isinstance(data, str)
            and data.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".webp"))
        ):
            filename, data = data, None
        super().__init__(data, url, filename, metadata)

    def _kind(self):
        data = self.data if isinstance(self.data, bytes) else base64.b64decode(self.data)
        for start, kind in ((b"\x89PNG", "png"), (b"\xff\xd8", "jpeg"), (b"GIF8", "gif"), (b"RIFF", "webp")):
            if data.startswith(start):
                return f"image/{kind}"
        return f"image/{(self.format or 'png').lower().replace('jpg', 'jpeg')}"


class Audio(_Media):
    def __init__(self, data=None, filename=None, url=None, embed=None, rate=None, autoplay=False,
                 normalize=True, *, element_id=None):  # fmt: skip
        if filename is None and isinstance(data, str):
            filename, data = data, None
        if data is not None and not isinstance(data, bytes):
            if rate is None:
                raise ValueError(
                    "rate must be specified when data is a numpy array or list of audio samples."
                )
            data = _wave(data, rate, normalize)
        super().__init__(data, url, filename)

    def _kind(self):
        for start, kind in (
            (b"RIFF", "wav"),
            (b"OggS", "ogg"),
            (b"fLaC", "flac"),
            (b"ID3", "mpeg"),
            (b"\xff", "mpeg"),
        ):
            if self.data.startswith(start):
                return f"audio/{kind}"
        return (self.filename and mimetypes.guess_type(self.filename)[0]) or "audio/wav"


class Video(_Media):
    def __init__(self, data=None, url=None, filename=None, embed=False, mimetype=None, width=None, height=None,
                 html_attributes="controls"):  # fmt: skip
        self.mimetype = mimetype
        if filename is None and isinstance(data, str):
            filename, data = data, None
        super().__init__(data, url, filename)

    def _kind(self):
        return self.mimetype or (self.filename and mimetypes.guess_type(self.filename)[0]) or "video/mp4"


class IFrame:
    def __init__(self, src, width, height, extras=None, **_):
        self.src, self.width, self.height = src, width, height

    def _repr_html_(self):
        return f'<iframe width="{self.width}" height="{self.height}" src="{self.src}"></iframe>'


def _wave(samples, rate, normalize):
    """A WAV file of samples, of one channel or a list of channels: 16 bits, scaled to the loudest."""
    import io
    import wave

    import numpy as np

    data = np.array(samples, dtype=float)
    loudest = np.abs(data).max() if data.size else 1
    if not normalize and loudest > 1:
        raise ValueError("Audio data must be between -1 and 1 when normalize=False.")
    scaled = (data / ((loudest if normalize else 1) or 1) * 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1 if scaled.ndim == 1 else scaled.shape[0])
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(scaled.T.tobytes())
    return file.getvalue()


def publish_display_data(data, metadata=None, *, transient=None, **_):
    publish(dict(data))


def update_display(value, *, display_id, **options):
    display(value, **options)


def clear_output(wait=False):
    """Nothing is taken back: what was displayed stays."""


def set_matplotlib_formats(*formats, **options):
    """Figures are PNG."""


def _only(mime_type):
    def show(*values, raw=False, **options):
        for value in values:
            display(
                {mime_type: value} if raw else value,
                raw=raw,
                include=None if raw else [mime_type, "text/plain"],
            )

    return show


display_pretty = _only("text/plain")
display_html = _only("text/html")
display_markdown = _only("text/markdown")
display_svg = _only("image/svg+xml")
display_png = _only("image/png")
display_jpeg = _only("image/jpeg")
display_latex = _only("text/latex")
display_json = _only("application/json")

# As they are called where IPython is.
for _each in list(globals().values()):
    if isinstance(_each, type) and issubclass(_each, (DisplayObject, IFrame)):
        _each.__module__ = (
            "IPython.core.display"
            if not issubclass(_each, (Audio, Video, IFrame, Code))
            else "IPython.lib.display"
        )
