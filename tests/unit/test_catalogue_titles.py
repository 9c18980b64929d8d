"""Brands and genders read from product titles."""

from __future__ import annotations

import pytest

from hemline_training.catalogue.titles import (
    BrandVocabulary,
    clean_title,
    gender_of_title,
    is_for_children,
    is_placeholder,
    unglue_gender,
)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  ID Men Brown Cult  Casual Shoes ", "ID Men Brown Cult Casual Shoes"),
        ("Reid &amp; Taylor Men\tTie", "Reid & Taylor Men Tie"),
        ("Levi\u0007s\u00a0Jeans", "Levi s Jeans"),
        ("&nbsp;", ""),
    ],
)
def test_titles_lose_entities_control_characters_and_spare_blanks(raw: str, clean: str) -> None:
    assert clean_title(raw) == clean


@pytest.mark.parametrize(
    ("title", "gender"),
    [
        ("Puma Men's Toe Crusher Black T-shirt", "Men"),
        ("Arrow Woman Printed Top", "Women"),
        ("Enamor Women Brown Boy Shorts Brief", "Women"),
        ("Levis Kids Girl's Blake Navy Blue Kidswear", "Girls"),
        ("Q&Q Kids Unisex Blue Digital Watch", "Unisex"),
        ("Chhota Bheem Chutki Kids-Girls Orange Watch", "Girls"),
        ("Gini and Jony Grils Polo Striped Pink T-shirt", "Girls"),
        ("Scullers For Her White Check Shirt", "Women"),
        ("ADIDAS Kids Black Cap", None),
        ("Fossil Womenswear-like Watch", None),
        ("Mentor Black Wallet", None),
    ],
)
def test_the_first_gender_word_counts_and_bare_kids_says_nothing(
    title: str, gender: str | None
) -> None:
    assert gender_of_title(title) == gender


def test_a_gender_word_inside_the_brand_does_not_count() -> None:
    assert gender_of_title("Mr. Men Little Miss Girls Pink Top", brand_words=2) == "Girls"


@pytest.mark.parametrize(
    ("glued", "free"),
    [
        ("Gini and JonyBoys Check Red Shirt", "Gini and Jony Boys Check Red Shirt"),
        ("Lee Cooper MenCasual Black Shoes", "Lee Cooper Men Casual Black Shoes"),
        ("Sepia WomenPurple Tunic", "Sepia Women Purple Tunic"),
        ("Mr.Men Maroon T-shirt", "Mr.Men Maroon T-shirt"),
        ("Mentor Womens Bag", "Mentor Womens Bag"),
    ],
)
def test_a_glued_gender_word_gets_its_blank_back(glued: str, free: str) -> None:
    assert unglue_gender(glued) == free


def test_placeholders_are_told_from_titles() -> None:
    for title in ("productDisplayName", "test dispName", "Tunics_Size_Chart.jpg"):
        assert is_placeholder(title)
    for title in ("Tantra Men Blood Test Purple T-shirt", "ADIDAS Men Cr_Ess 3s White T-Shirts"):
        assert not is_placeholder(title)


def test_childrens_titles_are_known_by_any_word() -> None:
    assert is_for_children("Levis Kids Blue Solid Jean")
    assert is_for_children("Doodle Girl's Top")
    assert not is_for_children("Kidston Women Bag")


def vocabulary(**titles: int) -> BrandVocabulary:
    """A vocabulary of `count` titles each, told apart by a number; `_` stands for a blank."""
    return BrandVocabulary(
        [
            f"{t.replace('_', ' ')} Red{n} Thing"
            for t, count in titles.items()
            for n in range(count)
        ],
        ordinary=["Red", "Black"],
    )


def test_a_brand_is_what_stands_before_the_gender_often_enough() -> None:
    brands = vocabulary(Red_Tape_Men=3, Timen_Men=2)

    assert brands.brand_of("Red Tape Women Shoe") == ("Red Tape", 2)
    assert brands.brand_of("Timen Men Watch") == (None, 0)


def test_a_line_of_a_brand_is_the_brand_but_another_house_is_not() -> None:
    brands = vocabulary(Casio_Men=3, Casio_Enticer_Men=9, Lee_Men=5, Lee_Cooper_Men=4)

    assert brands.brand_of("Casio Enticer Men Watch") == ("Casio", 1)
    assert brands.brand_of("Lee Men Jeans") == ("Lee", 1)
    assert brands.brand_of("Lee Cooper Men Shoes") == ("Lee Cooper", 2)


def test_spellings_of_one_brand_are_one_brand_in_its_commonest_spelling() -> None:
    brands = BrandVocabulary(
        ["Inc. 5 Women Red Heels"] * 3 + ["Inc 5 Women Flats"] * 4 + ["Gini & Jony Girls Top"] * 3
    )

    assert brands.brand_of("INC.5 Women Sandals") == ("Inc 5", 1)
    assert brands.brand_of("Gini and Jony Boys Shirt") == ("Gini & Jony", 3)


def test_without_a_gender_a_brand_is_the_beginning_that_titles_share() -> None:
    titles = [
        f"Lotus Herbals {colour} Lipstick" for colour in ("Plum", "Rose", "Nude", "Coral", "Wine")
    ]
    brands = BrandVocabulary([*titles, "Colorbar Plum Lipstick"])

    assert brands.brand_of("Lotus Herbals Pure Kajal") == ("Lotus Herbals", 2)
    assert brands.brand_of("Colorbar Rose Lipstick") == (None, 0)


def test_a_colour_is_no_brand_by_itself() -> None:
    assert vocabulary(Black_Men=9).brand_of("Black Men Shirt") == (None, 0)
