"""Words to cut into subwords, for more than one test."""

from hypothesis import strategies as st

WALKS = {
    "walk": 5,
    "walked": 3,
    "walking": 2,
    "talk": 4,
    "talks": 2,
    "talked": 3,
    "look": 4,
    "looks": 2,
    "looking": 3,
}
word = st.text("abcd", min_size=1, max_size=9)
words = st.dictionaries(word, st.integers(1, 5), min_size=1, max_size=8)
