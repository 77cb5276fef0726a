"""The linear models of the scores that ask what such a model reads."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

MOST_ITERATIONS = 3000


def logistic(**settings: Any) -> LogisticRegression:
    """Multinomial, penalised as scikit-learn does by default unless the settings say otherwise."""
    return LogisticRegression(max_iter=MOST_ITERATIONS, **settings)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without scikit-learn's remarks on the table: many classes of few rows, or no finite optimum.

    Both are answers here: a code that separates the classes drives an unpenalised loss to 0 without end.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        yield
