"""What may be a user name, and which are the same."""

import pytest

from services.usernames import clean_username, email_key, username_key


@pytest.mark.parametrize(
    "name",
    ["ada", "Ada.Lovelace-1815_x", "Łukasz", "Ελένη", "Дмитрий", "山田太郎", "ครูกุ้ง", "अनिता", "مريم", "a" * 50, "٣٤٥"],
)
def test_letters_and_digits_of_any_script_will_do(name: str) -> None:
    assert clean_username(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "ab", "a" * 51, "a b", "ada\n", "a\tb", "ada\0", "ada!", "a@b", "a/b", "<ada>", "a\u200bda", "a\u202eda",
        "ada\ufe0f", "ada\u3164", "ada\u00ad", "\u0301ada", "ada😀", "a\u00a0b", "ﷺﷺﷺ", "ada\ue000", "ada\U000e0041",
    ],
)  # fmt: skip
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"characters|letters"):
        clean_username(name)


def test_a_name_is_kept_in_one_form() -> None:
    assert clean_username("Rene\u0301") == "Ren\u00e9"
    assert clean_username("\uff41\uff44\uff41") == "ada"


@pytest.mark.parametrize(
    ("one", "other"),
    [("Ada", "aDA"), ("Straße", "STRASSE"), ("Ren\u00e9", "rene\u0301"), ("\uff41\uff44\uff41", "ADA"), ("ΣΑΣ", "σας"),
     ("ﬁona", "FIONA")],
)  # fmt: skip
def test_names_that_differ_in_case_or_form_are_the_same(one: str, other: str) -> None:
    assert username_key(one) == username_key(other)


def test_the_longest_name_has_a_key_that_fits_its_column() -> None:
    assert max(len(username_key(clean_username(letter * 50))) for letter in "ΐßa") <= 200


def test_addresses_that_differ_in_case_are_the_same() -> None:
    assert email_key("Ada@Example.COM") == email_key("ada@example.com")
