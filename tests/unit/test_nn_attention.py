import math

import pytest
import torch
from torch import nn

from lamae.errors import ConfigError
from lamae.nn.attention import LONGEST_MATMUL, SelfAttention, attend, attention_weights, choose_kernel
from lamae.nn.transformer import (
    Block,
    Transformer,
    TransformerConfig,
    initialise,
    initialise_mimetic,
    initialise_tokens,
    token_parameter,
)


def qkv(*, num_queries=7, num_keys=11, dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)
    shapes = ((2, 3, num_queries, 5), (2, 3, num_keys, 5), (2, 3, num_keys, 5))
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]


def test_two_keys_by_hand():
    query = torch.tensor([1.0, 0, 0, 0]).view(1, 1, 1, 4)
    key = torch.tensor([[2 * math.log(3), 0, 0, 0], [0, 0, 0, 0]]).view(1, 1, 2, 4)  # scores log 3 and 0
    value = torch.tensor([[4.0, 0, 0, 0], [0, 8, 0, 0]]).view(1, 1, 2, 4)
    torch.testing.assert_close(attention_weights(query, key).flatten(), torch.tensor([0.75, 0.25]))
    for kernel in ("sdpa", "matmul"):
        found = attend(query, key, value, kernel=kernel)
        torch.testing.assert_close(found.flatten(), torch.tensor([3.0, 2, 0, 0]))


@pytest.mark.parametrize("masked", [False, True])
def test_kernels_agree_forward_and_backward(masked):
    mask = torch.rand(2, 11, generator=torch.Generator().manual_seed(5)) < 0.6 if masked else None
    results = []
    for kernel in ("sdpa", "matmul"):
        tensors = qkv()
        out = attend(*tensors, kernel=kernel, key_mask=mask)
        out.square().sum().backward()
        results.append([out, *(t.grad for t in tensors)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", ["sdpa", "matmul"])
def test_masked_keys_have_no_influence(kernel):
    query, key, value = qkv()
    mask = torch.arange(11).expand(2, -1) < 7
    whole = attend(query, key, value, kernel=kernel, key_mask=mask)
    cut = attend(query, key[:, :, :7], value[:, :, :7], kernel=kernel)
    torch.testing.assert_close(whole, cut)


@pytest.mark.parametrize("kernel", ["sdpa", "matmul"])
def test_a_row_without_any_key_is_finite(kernel):
    tensors = qkv()
    out = attend(*tensors, kernel=kernel, key_mask=torch.zeros(2, 11, dtype=torch.bool))
    out.sum().backward()
    assert bool(out.isfinite().all())
    assert all(bool(t.grad.isfinite().all()) for t in tensors)


def test_the_rule_of_auto():
    short, bf16 = torch.zeros(1, 1, 3, 5), torch.zeros(1, 1, 3, 5, dtype=torch.bfloat16)
    assert choose_kernel("auto", short, 3) == "sdpa"
    assert choose_kernel("auto", bf16, LONGEST_MATMUL) == "matmul"
    assert choose_kernel("auto", bf16, LONGEST_MATMUL + 1) == "sdpa"
    assert choose_kernel("auto", bf16.to("meta"), 3) == "sdpa"
    assert choose_kernel("sdpa", bf16, 3) == "sdpa"
    assert choose_kernel("matmul", short, 3) == "matmul"


@pytest.mark.parametrize("kernel", ["sdpa", "matmul"])
def test_bf16_is_close_to_fp32(kernel):
    expected = attend(*qkv(), kernel=kernel)
    found = attend(*qkv(dtype=torch.bfloat16), kernel=kernel)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.03, atol=0.03)


def test_self_attention_is_torchs_multihead_attention():
    torch.manual_seed(7)
    ours = SelfAttention(dim=15, num_heads=3, kernel="sdpa")
    theirs = nn.MultiheadAttention(15, 3, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    tokens, mask = torch.randn(2, 11, 15), torch.arange(11).expand(2, -1) < 7
    expected, weights = theirs(tokens, tokens, tokens, key_padding_mask=~mask, average_attn_weights=False)
    torch.testing.assert_close(ours(tokens, mask), expected)
    torch.testing.assert_close(ours.weights(tokens, mask), weights)


def test_a_block_is_torchs_pre_norm_layer():
    torch.manual_seed(11)
    block = Block(TransformerConfig(dim=15, depth=1, num_heads=3, mlp_ratio=2), kernel="sdpa")
    theirs = nn.TransformerEncoderLayer(15, 3, 30, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True)
    state = {
        "self_attn.in_proj_weight": block.attention.qkv.weight,
        "self_attn.in_proj_bias": block.attention.qkv.bias,
    }
    for mine, other in (
        ("attention.out", "self_attn.out_proj"),
        ("attention_norm", "norm1"),
        ("mlp_norm", "norm2"),
        ("mlp.0", "linear1"),
        ("mlp.2", "linear2"),
    ):
        layer = block.get_submodule(mine)
        state |= {f"{other}.weight": layer.weight, f"{other}.bias": layer.bias}
    theirs.load_state_dict(state)
    tokens = torch.randn(2, 11, 15)
    torch.testing.assert_close(block(tokens), theirs(tokens))


def test_skipped_tokens_change_nothing_for_the_others():
    torch.manual_seed(13)
    stack = Transformer(TransformerConfig(dim=15, depth=3, num_heads=3), kernel="sdpa")
    tokens, mask = torch.randn(2, 11, 15), torch.rand(2, 11) < 0.8
    torch.testing.assert_close(stack(tokens, mask, skip=5), stack(tokens, mask)[:, 5:])


def test_initialisation_is_xavier_uniform_and_repeatable():
    block = Block(TransformerConfig(dim=48, depth=1, num_heads=3), kernel="auto")
    initialise(block, generator=torch.Generator().manual_seed(17))
    bound = math.sqrt(6 / (48 + 192))
    assert 0.95 * bound < block.mlp[0].weight.abs().max() <= bound
    assert block.mlp[0].bias.abs().max() == 0
    first = block.attention.out.weight.clone()
    initialise(block, generator=torch.Generator().manual_seed(17))
    torch.testing.assert_close(block.attention.out.weight, first, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_heads": 7}, "num_heads must divide dim, found dim 15 and num_heads 7"),
        ({"depth": -1}, "depth not below 0"),
        ({"dim": 0}, "above 0"),
        ({"num_heads": 0}, "above 0"),
        ({"mlp_ratio": 0.0}, "above 0"),
    ],
)
def test_bad_sizes_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        TransformerConfig(**({"dim": 15, "depth": 1, "num_heads": 3} | changes))


def test_tokens_are_drawn_within_two_standard_deviations():
    parameter = token_parameter(7, 1009)
    initialise_tokens(parameter, generator=torch.Generator().manual_seed(3))
    token = parameter.detach()
    assert -0.04 <= float(token.min()) < -0.038
    assert 0.038 < float(token.max()) <= 0.04
    assert float(token.std()) == pytest.approx(0.0176, rel=0.02)  # 0.02 * 0.88, for it is cut


def test_mimetic_attention_begins_with_the_most_similar_token():
    layer = SelfAttention(dim=32, num_heads=2, kernel="sdpa")
    initialise_mimetic(layer, generator=torch.Generator().manual_seed(3))
    tokens = 4 * torch.nn.functional.normalize(
        torch.randn(1, 7, 32, generator=torch.Generator().manual_seed(5)), dim=-1
    )
    tokens[0, 6] = tokens[0, 2]
    weights = layer.weights(tokens).mean(dim=1)[0]
    assert weights.argmax(dim=1)[:2].tolist() == [0, 1]
    assert set(weights[2].topk(2).indices.tolist()) == {2, 6}
    weight = layer.qkv.weight
    torch.testing.assert_close(weight[:32], weight[32:64])
    torch.testing.assert_close(layer.out.weight, 0.7 * weight[64:].T)
