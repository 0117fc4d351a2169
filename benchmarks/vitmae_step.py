"""One training step (forward and backward) of our masked autoencoder against transformers' ViTMAE, weights copied.

ViT-S/16, 224 px, mask ratio 0.75, decoder 192 x 4 x 3, batch 8; one thread, CPU time, interleaved. Prints the losses,
the ratio of times in float32 and in bfloat16 autocast, and the bytes saved for the backward pass.
"""

import argparse
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness import MET, MISSED, UNSTEADY, check_ratio, describe_environment, interleave, use_one_thread

use_one_thread()

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from lamae.nn.transformer import TransformerConfig  # noqa: E402
from vitmae_pair import Pair, make_pair  # noqa: E402

FP32_AT_LEAST = 1.0
NOISE = 0.02
BF16_AT_LEAST = 1.3
BYTES_AT_MOST = 1.0
LOSS_TOLERANCE = 1e-5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch-size", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(describe_environment(["torch", "transformers", "lamae"]))
    print(f"ViT-S/16, 224 px, mask 0.75, decoder 192x4x3, batch {options.batch_size}, 1 thread, CPU time")
    pair = make_pair(
        encoder=TransformerConfig(dim=384, depth=12, num_heads=6),
        decoder=TransformerConfig(dim=192, depth=4, num_heads=3),
        image_size=224,
        patch_size=16,
        batch_size=options.batch_size,
        mask_ratio=0.75,
        normalised_target=True,
    )
    codes = [check_loss(pair), check_bytes(pair)]
    for precision, at_least in (("fp32", FP32_AT_LEAST - NOISE), ("bf16", BF16_AT_LEAST)):
        print(f"step in {precision}")
        steps = {"ours": partial(step, pair, "ours", precision), "ViTMAE": partial(step, pair, "ViTMAE", precision)}
        timings = interleave(steps, options.rounds)
        codes.append(check_ratio(timings, ours="ours", reference="ViTMAE", at_least=at_least, what="step"))
    return next((code for code in (MISSED, UNSTEADY) if code in codes), MET)


def loss_of(pair: Pair, which: str, precision: str) -> Tensor:
    bf16 = torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
    with bf16:
        return pair.our_loss() if which == "ours" else pair.their_loss()


def step(pair: Pair, which: str, precision: str) -> None:
    model = pair.ours if which == "ours" else pair.theirs
    model.zero_grad(set_to_none=True)
    loss_of(pair, which, precision).backward()


def check_loss(pair: Pair) -> int:
    with torch.no_grad():
        ours, theirs = (loss_of(pair, which, "fp32").item() for which in ("ours", "ViTMAE"))
    difference = abs(ours - theirs) / theirs
    print(f"loss in fp32: ours {ours:.7f}, ViTMAE {theirs:.7f}, relative difference {difference:.1e}")
    return MET if difference <= LOSS_TOLERANCE else MISSED


def saved_bytes(pair: Pair, which: str, precision: str) -> int:
    """Return the bytes of all distinct storages that autograd saves for the backward pass, except parameters."""
    model = pair.ours if which == "ours" else pair.theirs
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    sizes: dict[int, int] = {}
    kept = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)  # keeps the address from being used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss_of(pair, which, precision)
    return sum(sizes.values())


def check_bytes(pair: Pair) -> int:
    code = MET
    for precision in ("fp32", "bf16"):
        ours, theirs = (saved_bytes(pair, which, precision) for which in ("ours", "ViTMAE"))
        print(
            f"saved for backward in {precision}: ours {ours / 1e6:.1f} MB, ViTMAE {theirs / 1e6:.1f} MB, "
            f"ratio {ours / theirs:.3f}"
        )
        if precision == "fp32" and ours / theirs > BYTES_AT_MOST:
            code = MISSED
    return code


if __name__ == "__main__":
    sys.exit(main())
