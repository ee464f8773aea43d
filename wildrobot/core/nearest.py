"""What to say about a word that nobody knows: the nearest one that is known, else all of them."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word`; None if none is."""
    import difflib  # only on the way to an answer, not at the start of every command

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return near[0] if near else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "known") -> str:
    """`did you mean 'read'?`, or `known: scan, read.` where nothing is like it."""
    known = list(known)
    near = nearest(word, known)
    return f"{otherwise}: {', '.join(known)}." if near is None else f"did you mean '{near}'?"
