"""Models as people write them into a file, and the rows that they are asked about."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
PREDICTOR = """{head}

class Predictor:
    def __init__(self, path):
        {load}

    def pred_batch(self, inputs):
        {answer}
"""


def predictor(*, head: str = "", load: str = "pass", answer: str = "return list(inputs)") -> str:
    """Return a module whose model answers with its inputs, unless something else is said."""
    return PREDICTOR.format(head=head, load=load, answer=answer)
