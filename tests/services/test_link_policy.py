"""Where links and pictures in an answer may lead."""

import pytest

from services.link_policy import HOST, LinkPolicy, is_own_path, stands_in

LISTED = LinkPolicy(("docs.example.com", "*.example.org"))


@pytest.mark.parametrize(
    "target",
    ["", "/", "/files/a.png?x=1&y=2", "#part", "?q=1", "docs/a.md", "./a", "../a", "a b", "/a:b", "/x?u=http://other/",
     "[1]", "x=y", "/%5Cevil.example", "ä/ö"],
)  # fmt: skip
def test_the_services_own_paths_are_its_own(target: str) -> None:
    assert is_own_path(target)
    assert LinkPolicy().allows_picture(target)
    assert LinkPolicy().allows_link(target)


@pytest.mark.parametrize(
    "target",
    ["http://evil.example/", "HTTPS://evil.example", "//evil.example/x", " //evil.example", "https:evil.example",
     "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "\x01//evil.example", "h\nttp://evil.example",
     "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "mailto:a@evil.example", "x-y+z.1:a",
     "&#47;/evil.example", "&sol;&sol;evil.example", "javascript&colon;x", "/&Tab;/evil.example",
     "&#104;ttp://evil.example", "http&#58;//evil.example", "/&bsol;evil.example"],
)  # fmt: skip
def test_whatever_a_browser_takes_for_another_place_is_none(target: str) -> None:
    assert not is_own_path(target)
    assert not LinkPolicy().allows_link(target)
    assert not LinkPolicy(("*",)).allows_picture(target)
    assert not LinkPolicy().allows_attribute(target)


@pytest.mark.parametrize(
    "target",
    ["https://docs.example.com", "http://DOCS.example.com/a?b=c#d", "https://docs.example.com:8443/x",
     "https://a.example.org/", "https://a.b.example.org?x"],
)  # fmt: skip
def test_a_link_may_lead_to_a_listed_host_and_a_picture_may_not(target: str) -> None:
    assert LISTED.allows_link(target)
    assert LinkPolicy(("*",)).allows_link(target)
    assert not LISTED.allows_picture(target)
    assert not LISTED.allows_attribute(target)


@pytest.mark.parametrize(
    "target",
    ["https://example.org/", "https://evilexample.org/", "https://docs.example.com.evil.example/",
     "https://docs.example.com@evil.example/", "https://evil.example/docs.example.com", "https:docs.example.com",
     "ftp://docs.example.com/", "https://docs.example.com\\@evil.example/", "https://docs.example.com&#64;evil.example/",
     "https://docs.example.com:x@evil.example/", "https://docs.example.com\t.evil.example", "https:///docs.example.com",
     "https://[::1]/", "https://", "javascript://docs.example.com/%0aalert(1)"],
)  # fmt: skip
def test_what_only_looks_like_a_listed_host_is_none(target: str) -> None:
    assert not LISTED.allows_link(target)


KNOWN = ("See https://a.example/page?x=1 (or <http://b.example/>), write to mailto:c@d.example.",)


@pytest.mark.parametrize("target", ["https://a.example/page?x=1", "http://b.example/", "mailto:c@d.example"])
def test_an_address_that_stands_in_a_text_may_be_linked_and_not_loaded(target: str) -> None:
    assert stands_in(target, KNOWN)
    assert LinkPolicy().allows_link(target, KNOWN)
    assert not LinkPolicy().allows_picture(target)


@pytest.mark.parametrize(
    "target",
    ["https://a.example/page?x=1&said=secret", "https://a.example/page", "https://a.example/pag", "HTTPS://A.example/",
     "https://a.example", "ttps://a.example/page?x=1", "mailto:c@d.exampl", "javascript:See", "See",
     "//a.example/page"],
)  # fmt: skip
def test_it_must_stand_there_word_for_word_and_whole(target: str) -> None:
    assert not stands_in(target, KNOWN)


def test_a_later_whole_one_counts_where_the_first_goes_on() -> None:
    assert stands_in("https://a.example/x", ["https://a.example/xy and https://a.example/x."])
    assert not stands_in("https://a.example/x", ["xhttps://a.example/x"])


@pytest.mark.parametrize("value", ["red", "a b", "/own.png", "12"])
def test_an_attribute_may_say_what_names_nothing_elsewhere(value: str) -> None:
    assert LinkPolicy().allows_attribute(value)


@pytest.mark.parametrize(
    "value", ["/a.png 1x, //evil.example/b.png 2x", "background:url(/x)", "0;url=//evil.example", "x&#47;/y", "a:b"]
)
def test_addresses_inside_a_value_count(value: str) -> None:
    assert not LinkPolicy().allows_attribute(value)


@pytest.mark.parametrize(
    ("entry", "fits"),
    [("docs.example.com", True), ("*.example.com", True), ("*", True), ("localhost", True), ("xn--a-b.example", True),
     ("https://docs.example.com", False), ("docs.example.com:80", False), ("docs.example.com/", False), ("", False),
     ("*.", False), ("a.*.com", False), ("a..b", False)],
)  # fmt: skip
def test_an_entry_of_the_list_is_a_host(entry: str, fits: bool) -> None:
    assert bool(HOST.fullmatch(entry)) is fits
