"""When two queries ask the same question: so that a misspelt word put right is no second try, and a flood of
misspellings no smoke screen."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from access.rules import Rules
from access.vocabulary import Vocabulary

Question = tuple[str, str, str]
"""Who asks, for whom, and for which purpose."""

OTHER = "other"
"""What stands for every word that means nothing known."""

_MISSPELT = 0.8
"""From which share of common letters (difflib's ratio) on an unknown word counts as a known one misspelt: it is 0.92
for robery and robbery, 0.48 for immigration and missing-person."""


def question(
    rules: Rules, vocabulary: Vocabulary | None, tenant: str, beneficiary: str | None, purpose: str | None
) -> Question:
    """Returns what is asked in known words: of as many sorts as there are tenants and purposes, whatever was typed."""
    asked_for = tenant if beneficiary is None else _meant(beneficiary, rules.tenants)
    purposes: Mapping[str, str] = vocabulary.purposes if vocabulary else {}
    return tenant, asked_for, _meant(purpose or "", purposes)


def _meant(word: str, known: Iterable[str]) -> str:
    if word in known:
        return word
    ratios = [(difflib.SequenceMatcher(None, word[:100], one).ratio(), one) for one in known]
    best = max(ratios, default=(0.0, OTHER))
    return best[1] if best[0] >= _MISSPELT else OTHER
