"""Two-stream attention scores by content, distance and segment."""

import torch
from small_models import stir

from companion.nn.two_stream_attention import TwoStreamAttention, relate, relative_sinusoids


def test_scores_are_content_and_distance_and_segment():
    torch.manual_seed(0)
    attention = TwoStreamAttention(d_model=6, n_heads=2)
    stir(attention)
    x, types = torch.randn(1, 4, 6), torch.tensor([[0, 0, 1, 1]])
    with torch.no_grad():
        seen = []
        attention.content_attention.observers.append(lambda weights: seen.append(weights) or weights)
        attention(x, relate(x, token_type_ids=types))
        q, k = (projection(x)[0].view(4, 2, 3) for projection in (attention.query, attention.key))
        u, v, w = (b.view(2, 3) for b in (attention.content_bias, attention.position_bias, attention.segment_bias))
        table = attention.position(relative_sinusoids(4, 6)).view(8, 2, 3)
        scores = torch.empty(2, 4, 4)
        for head in range(2):
            for i in range(4):
                for j in range(4):
                    content = (q[i, head] + u[head]) @ k[j, head]
                    distance = (q[i, head] + v[head]) @ table[4 - (i - j), head]
                    other = int(types[0, i] != types[0, j])
                    segment = (q[i, head] + w[head]) @ attention.segment_embedding[other, head]
                    scores[head, i, j] = (content + distance + segment) / 3**0.5
    torch.testing.assert_close(seen[0][0], scores.softmax(-1))


def test_the_sinusoids_run_from_the_most_distant_past_to_the_future():
    table = relative_sinusoids(5, 8)
    assert table.shape == (10, 8)
    torch.testing.assert_close(table[5], torch.tensor([0.0] * 4 + [1.0] * 4))  # distance 0
    torch.testing.assert_close(table[2, 0], torch.tensor(3.0).sin())  # three places back
    torch.testing.assert_close(table[8, 0], torch.tensor(-3.0).sin())  # three places ahead
    torch.testing.assert_close(table[2, 5], torch.tensor(0.3).cos())
