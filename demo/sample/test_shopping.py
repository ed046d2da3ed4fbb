"""The tests of the sample; one of them fails until the agent has been here."""

import unittest

from shopping import Item, total_cents


class TotalTest(unittest.TestCase):
    """What a list costs."""

    def test_an_empty_list_costs_nothing(self) -> None:
        self.assertEqual(total_cents([]), 0)

    def test_prices_add_up(self) -> None:
        self.assertEqual(total_cents([Item("tea", 350), Item("milk", 119)]), 469)

    def test_every_piece_counts(self) -> None:
        self.assertEqual(total_cents([Item("apple", 50, count=3)]), 150)


if __name__ == "__main__":
    unittest.main()
