"""Back-propagation in one class: numbers that remember how they were made, and so can find their gradients.

Chapter: ``book/concepts/foundations.ipynb``. Sources: Rumelhart, Hinton & Williams 1986; the form is that of Karpathy's
micrograd.
"""

import itertools
import math
from typing import Union

Number = Union["Value", float]
_ages = itertools.count()


class Value:
    """A number, the numbers that it was made from, and the slope of the result towards each of them.

    Example:
        >>> w = Value(3.0)
        >>> loss = (w * 2 - 4) * (w * 2 - 4)
        >>> loss.backward()
        >>> loss.data, w.grad
        (4.0, 8.0)
    """

    def __init__(self, data: float, made_from: tuple[tuple["Value", float], ...] = ()) -> None:
        """Keep the number.

        Args:
            data: the number.
            made_from: each operand, with the derivative of this number by it.
        """
        self.data = data
        self.made_from = made_from
        self.grad = 0.0
        self.age = next(_ages)

    def __add__(self, other: Number) -> "Value":
        """``a + b``: the slopes are 1 and 1."""
        other = _value(other)
        return Value(self.data + other.data, ((self, 1.0), (other, 1.0)))

    def __mul__(self, other: Number) -> "Value":
        """``a * b``: the slope towards each is the other."""
        other = _value(other)
        return Value(self.data * other.data, ((self, other.data), (other, self.data)))

    def exp(self) -> "Value":
        """``e`` to this power: the slope is the result itself."""
        power = math.exp(self.data)
        return Value(power, ((self, power),))

    def log(self) -> "Value":
        """Natural logarithm: the slope is ``1 / a``."""
        return Value(math.log(self.data), ((self, 1 / self.data),))

    def tanh(self) -> "Value":
        """Hyperbolic tangent: the slope is 1 minus its square."""
        bent = math.tanh(self.data)
        return Value(bent, ((self, 1 - bent**2),))

    def relu(self) -> "Value":
        """The number where it is positive, else 0: the slope is 1 or 0."""
        return Value(max(self.data, 0.0), ((self, float(self.data > 0)),))

    def backward(self) -> None:
        """Add to each number's ``grad`` the derivative of this one by it: the chain rule, from the result down."""
        gradient = {self: 1.0}
        for value in self._newest_first():
            value.grad += gradient[value]
            for operand, slope in value.made_from:
                gradient[operand] = gradient.get(operand, 0.0) + gradient[value] * slope

    def _newest_first(self) -> list["Value"]:
        """All numbers of the graph: each stands before those that it was made from, which are older."""
        found, waiting = {self}, [self]
        while waiting:
            new = {operand for operand, _ in waiting.pop().made_from} - found
            found |= new
            waiting += new
        return sorted(found, key=lambda value: value.age, reverse=True)

    def __neg__(self) -> "Value":
        """Return ``-a``."""
        return self * -1.0

    def __sub__(self, other: Number) -> "Value":
        """Return ``a - b``."""
        return self + -_value(other)

    __radd__, __rmul__ = __add__, __mul__


def _value(number: Number) -> Value:
    return number if isinstance(number, Value) else Value(number)
