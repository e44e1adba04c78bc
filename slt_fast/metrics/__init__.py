"""Scores in percent: BLEU, chrF, ROUGE-L and exact match of sentences, word error rate of glosses.

BLEU-4, exact match and word error rate have a 95 % interval, by bootstrap over the clips (Koehn,
EMNLP 2004). It says what the score would be on other clips drawn like these. It does not say what
another seed of the training would give.
"""

from slt_fast.metrics.glosses import clean_phoenix_gloss, word_error_rate
from slt_fast.metrics.score import Score, flat_scores
from slt_fast.metrics.translation import (
    deciding_score,
    most_common_share,
    quick_score,
    translation_scores,
    warn_of_repeats,
)

__all__ = [
    "Score",
    "clean_phoenix_gloss",
    "deciding_score",
    "flat_scores",
    "most_common_share",
    "quick_score",
    "translation_scores",
    "warn_of_repeats",
    "word_error_rate",
]
