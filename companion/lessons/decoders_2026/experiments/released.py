"""Ten open decoders of 2024 and 2025: what their configurations say, each with where it was read.

Chapter: ``book/algorithms/decoders_2026.ipynb``. Only fields that the chapter compares are kept. Most were read in a
``config.json`` on the hub, either the publisher's own or a copy in a derived model of unchanged architecture.
"""

from dataclasses import dataclass

from companion.generation.costs import kv_bytes, latent_bytes


@dataclass(frozen=True)
class OpenDecoder:
    """What distinguishes one released decoder.

    Attributes:
        year: of the release.
        n_layers: number of blocks.
        d_model: width of the residual stream.
        n_heads: query heads.
        n_kv_heads: key/value heads; of no account where there is a latent.
        d_head: width of a head.
        window: tokens that a local layer attends to; None when no layer is local.
        full_every: every how many layers one attends to all tokens; the others are local or linear.
        experts: routed experts, experts per token, shared experts; None when the network is dense.
        d_latent: width of the latent and of the rotary key in latent attention; None without it.
        others: what else the configuration has.
        source: where it was read.
    """

    year: int
    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    window: int | None = None
    full_every: int = 1
    experts: tuple[int, int, int] | None = None
    d_latent: tuple[int, int] | None = None
    others: str = ""
    source: str = ""

    @property
    def n_full(self) -> int:
        """Number of layers whose cache grows with the text."""
        return self.n_layers // self.full_every

    def cache_bytes(self, length: int) -> int:
        """Bytes of the cache for a text, in 16 bits; the fixed states of linear layers are not counted.

        >>> DECODERS["DeepSeek-V3"].cache_bytes(1000)
        70272000
        """
        if self.d_latent is not None:
            return length * latent_bytes(self.n_layers, *self.d_latent)
        full = length * kv_bytes(self.n_full, self.n_kv_heads, self.d_head)
        if self.window is None:
            return full
        return full + min(length, self.window) * kv_bytes(self.n_layers - self.n_full, self.n_kv_heads, self.d_head)


DECODERS = {
    "Llama 3.1 8B": OpenDecoder(
        2024, 32, 4096, 32, 8, 128, others="RoPE stretched", source="Grattafiori et al. 2024, table 3"
    ),
    "DeepSeek-V3": OpenDecoder(
        2024,
        61,
        7168,
        128,
        128,
        128,
        experts=(256, 8, 1),
        d_latent=(512, 64),
        others="bias balance, YaRN, MTP",
        source="DeepSeek-AI 2024, section 4.2; config.json of JPAdams12th/dormant-model-2, a copy",
    ),
    "Gemma 3 270M": OpenDecoder(
        2025,
        18,
        640,
        4,
        1,
        256,
        window=512,
        full_every=6,
        others="two RoPE bases, QK-norm",
        source="config.json of mariocde/functiongemma-270m-onnx, a copy",
    ),
    "Qwen3 30B-A3B": OpenDecoder(
        2025,
        48,
        2048,
        32,
        4,
        128,
        experts=(128, 8, 0),
        others="QK-norm",
        source="qwen3_30b_a3b.yaml of Ascend/MindSpeed-RL",
    ),
    "SmolLM3 3B": OpenDecoder(
        2025,
        36,
        2048,
        16,
        4,
        128,
        others="every fourth layer without RoPE",
        source="config.json of N-Bot-Int/SmolSam3-merged, a copy; heads from the defaults of transformers",
    ),
    "Kimi K2": OpenDecoder(
        2025,
        61,
        7168,
        64,
        64,
        128,
        experts=(384, 8, 1),
        d_latent=(512, 64),
        others="bias balance, YaRN",
        source="kimi_provider of NVIDIA Megatron Bridge, for moonshotai/Kimi-K2-Instruct; latent as DeepSeek-V3; YaRN"
        " from config.json of Kimi-K2-Instruct-0905",
    ),
    "gpt-oss 20B": OpenDecoder(
        2025,
        24,
        2880,
        64,
        8,
        64,
        window=128,
        full_every=2,
        experts=(32, 4, 0),
        others="sinks, YaRN",
        source="config.json of cryptonaut/AltiMind-sft, a copy; gpt-oss-20B.sh of Ascend/slime-ascend",
    ),
    "Qwen3-Next 80B-A3B": OpenDecoder(
        2025,
        48,
        2048,
        16,
        2,
        256,
        full_every=4,
        experts=(512, 10, 1),
        others="gated DeltaNet, a quarter of RoPE",
        source="defaults of Qwen3NextConfig in transformers, which are this model's",
    ),
    "Olmo 3 7B": OpenDecoder(
        2025,
        32,
        4096,
        32,
        32,
        128,
        window=4096,
        full_every=4,
        others="YaRN, post-norm, QK-norm",
        source="config.json of mlx-community/Olmo-3-7B-RLZero-Code-4bit, a copy",
    ),
    "GLM-4.7": OpenDecoder(
        2025,
        92,
        5120,
        96,
        8,
        128,
        experts=(160, 8, 1),
        others="bias balance, half of RoPE, QK-norm, MTP",
        source="config.json of zai-org/GLM-4.7; the bias from Glm4MoeTopkRouter of transformers",
    ),
}
