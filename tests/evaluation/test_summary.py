import json

import numpy as np

from ecglib.evaluation.summary import with_intervals


def test_scores_that_do_not_exist_are_none_and_the_class_is_named():
    y = np.zeros((20, 2), np.float32)
    y[:8, 0] = 1
    p = np.tile([[0.3, 0.2]], (20, 1))
    people = np.arange(20)
    scores = with_intervals(y, p, [0.5, 0.5], "multi_label", ["A", "B"], people, n_resamples=50)
    json.dumps(scores, allow_nan=False)
    assert scores["undefined"] == ["B"]
    assert scores["never_predicted"] == ["A", "B"]
    assert scores["per_class"]["B"]["auroc"]["estimate"] is None
    assert scores["per_class"]["A"]["auroc"]["estimate"] == 0.5
