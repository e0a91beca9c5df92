"""Integrated gradients on PyTorch, ours and Captum's: ``python -m benchmarks.explain_torch``.

This is a worker (`benchmarks.worker`) for the interpreter that has PyTorch and Captum.
"""

import os

from benchmarks.worker import serve

os.environ["KERAS_BACKEND"] = "torch"


def main() -> None:
    """Build the model, compare the two, and wait for work."""
    import numpy as np
    import torch
    from captum.attr import IntegratedGradients

    from benchmarks.explain import BATCH, N_STEPS, make_target
    from ecglib.explain import attribute_by_integrated_gradients

    target = make_target({"time": "cnn"}, from_signal=True)
    signal = torch.tensor(target.inputs["signal"], dtype=torch.float32)
    captum = IntegratedGradients(lambda x: target.model(x, training=False))

    def run_ours() -> np.ndarray:
        return attribute_by_integrated_gradients(target, n_steps=N_STEPS)["signal"].values

    def run_captum() -> np.ndarray:
        found = captum.attribute(
            signal,
            target=target.class_index,
            n_steps=N_STEPS,
            method="gausslegendre",
            internal_batch_size=BATCH,
        )
        return found.detach().cpu().numpy()

    difference = np.abs(run_ours() - run_captum()).max()
    assert difference < 1e-5, f"the two differ by {difference:.1e} logits"
    serve({"ours": run_ours, "captum": run_captum})


if __name__ == "__main__":
    main()
