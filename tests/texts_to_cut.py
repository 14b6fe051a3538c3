"""Texts that are hard to cut into tokens, for more than one test."""

HARD = [
    "Don't you'll WE'VE it's   three  spaces\tand a tab \n\n two lines \r\n",
    "In 2024, 3.14159 and 1,000,000: ٣٤٥ ½ ² Ⅷ x2y10z",
    "naïve façade, cafe\u0301, ﬁne ﬂight, Ångström, straße ИЖ ΣΊΣΥΦΟΣ",
    "我喜欢吃苹果。日本語のテキスト 한국어 العربية עברית हिन्दी ไทย",
    "👩‍👩‍👧‍👦 🏳️‍🌈 😀😀 \u200bzero\u200dwidth\ufeff \u00a0no break\u2028line\u0085next",
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|><|endoftext|> <|im_end|>x<|im_end <repo_name>a<file_sep>b",
    "def f(x):\n    return {'a': [1, 2], \"b\": x ** 2}  # ~`!@#$%^&*()_+-=[]{}|;:',.<>/?",
    " ",
    "\n",
    "a" * 300,
    "\U0001f600" * 40 + "\x00\x7f\u0378",
]
