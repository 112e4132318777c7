"""The language of figures and tables: English, or Chinese where a font for it is installed."""

from __future__ import annotations

import contextlib
import functools
import re
import tomllib
from pathlib import Path

CJK_FONTS = "CJK|Noto Sans SC|Han Sans|WenQuanYi|PingFang|Hiragino Sans GB|Heiti|YaHei|SimHei"
NO_FONT = "No Chinese font was found, so figures are in English: install one, like fonts-noto-cjk."
_language = ["en"]  # of the figures
_asked = ["en"]  # of plain text, which needs no font


def word(english: str, lang: str | None = None) -> str:
    """Return a label in `en` or `zh`, by default the language of the figures.

    One without a translation stays as it is.
    """
    return _chinese().get(english, english) if (lang or _language[0]) == "zh" else english


def device(name: str, lang: str | None = None) -> str:
    """Return the name of a device as people read it: CPU, 1 thread."""
    return name.replace("threads", word("threads", lang)).replace(" 1 threads", " 1 thread")


def asked() -> str:
    """Return the language last asked for, with a font or without: that of plain text."""
    return _asked[0]


@functools.cache
def _chinese() -> dict[str, str]:
    return tomllib.loads((Path(__file__).parent / "zh.toml").read_text(encoding="utf-8"))


def set_language(lang: str) -> str:
    """Label figures in `en` or `zh`; return the language in use, which is `en` without a font."""
    import matplotlib.pyplot as plt

    _asked[0] = lang
    fonts = _chinese_fonts() if lang == "zh" else []
    if lang == "zh" and not fonts:
        print(word(NO_FONT, lang))
        lang = "en"
    plt.rcParams["font.family"] = ["DejaVu Sans", *fonts[:1]]  # the first that has a glyph
    _language[0] = lang
    return lang


def _chinese_fonts() -> list[str]:
    """Return the Chinese fonts that are installed, also since matplotlib made its list."""
    from matplotlib import font_manager

    listed = font_manager.fontManager
    for path in set(font_manager.findSystemFonts()) - {font.fname for font in listed.ttflist}:
        with contextlib.suppress(RuntimeError, OSError):  # a font that matplotlib cannot read
            listed.addfont(path)
    names = {font.name for font in listed.ttflist if re.search(CJK_FONTS, font.name)}
    return sorted(names, key=lambda name: ("SC" not in name, name))  # simplified ones first
