"""Whether a text that a model wrote may become a prompt: it names one plain object that no earlier prompt names.

The word lists hold what a model writes most often, not everything: the instructions ask for the rest. Words that are
also plain objects (apple, jaguar, shell, amazon) are left out of the brands, because a jaguar is an animal first.
"""

import re
from collections import Counter
from collections.abc import Iterable

from pipelines.foregrounds.prompts.builtin import Prompt

MIN_LETTERS, MAX_LETTERS, MAX_WORDS = 3, 40, 5
_SHAPE = re.compile(r"[a-z]+(?:[ -][a-z]+)*")
_WORD = re.compile(r"[a-z]+")
ARTICLES = frozenset({"a", "an", "the"})
NEAR = 0.75
"""Similarity from which two prompts count as the same object. Among the 600 built-in prompts no pair reaches it
(`banana`, `bandana`: 0.71; `young man`, `young woman`: 0.70); misspellings and other endings of one word do (`tumble
dryer`, `tumble drier`: 0.75; `washing machine`, `wash machine`: 0.77). Synonyms are left to the model's
instructions."""
_PLURAL_KEEPS = ("ss", "us", "is")
_ES = re.compile(r"(ch|sh|x|ss|z)es$")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SCENE_ANYWHERE = _words("""
    background backdrop scene scenery landscape cityscape seascape skyline panorama wallpaper horizon surroundings
""")
"""Words that are never part of an object's name."""

SCENE_HEADS = _words("""
    sky sunset sunrise beach forest jungle desert mountain hill valley meadow field garden park lake river ocean sea
    island coast shore waterfall street road highway alley city town village square market room kitchen bedroom
    bathroom office classroom hallway stadium airport harbour harbor farm countryside cave night fog rain snow
""")
"""A place or weather as the last word (`sandy beach`), part of an object's name before it (`beach ball`)."""

RELATIONS = _words("""
    in on at with without under over above below beside behind between near inside outside against among around next
    from by through wearing holding carrying riding standing surrounded
""")
"""Words that relate an object to a place or to another object."""

CONJUNCTIONS = _words("and or plus versus")
"""Words that make a prompt name several objects."""

BRANDS = _words("""
    adidas airbus audi barbie batmobile beats bentley bmw boeing bosch bugatti burberry cadillac canon
    chanel chevrolet chrysler citroen coca cocacola coke corvette dell disney dodge ducati dyson
    facebook fedex fender ferrari fiat fitbit gibson gillette google gopro gucci harley heineken hermes honda huawei
    hyundai ikea instagram intel ipad iphone ipod jacuzzi kawasaki kia kitchenaid kleenex kodak
    lamborghini lego leica lenovo lexus levis logitech macbook maserati mazda mcdonalds mercedes microsoft mitsubishi
    motorola nasa nescafe nestle netflix nike nikon nintendo nissan nokia oreo panasonic pepsi peugeot philips
    playmobil playstation polaroid porsche prada reebok renault rolex royce samsung
    sony spacex starbucks steinway subaru suzuki tesla thermomix tiktok toyota tupperware twitter uber vespa volkswagen
    volvo vuitton walkman whatsapp xbox xerox yamaha youtube zippo
""")
"""Manufacturers, their brands, and products that have no other name."""

PEOPLE = _words("""
    adele beethoven beyonce bezos biden caesar chaplin churchill cleopatra clinton columbus cristiano darwin davinci
    dali edison einstein elvis eminem federer freud frida gaga galileo gandhi goethe hawking
    hendrix hitler jesus kahlo kardashian kennedy lenin lennon lincoln lionel luther madonna mandela
    marilyn marx merkel messi michelangelo monroe mozart musk napoleon newton nixon obama oprah picasso plato
    presley putin rihanna ronaldo roosevelt serena shakespeare socrates stalin tolkien trump vangogh
    warhol washington
    aladdin batman bambi cinderella darth deadpool dracula dumbledore elmo elsa frankenstein
    frodo gandalf garfield gollum godzilla goku groot hulk hermione ironman kermit luigi mario mickey
    minnie minion mulan naruto nemo pikachu pinocchio pokemon rapunzel santa sauron sherlock shrek simpson skywalker
    smurf snoopy spiderman spongebob superman supergirl tarzan thanos thor totoro voldemort
    yoda zelda zorro jedi sith stormtrooper lightsaber terminator xenomorph tardis
""")
"""People and fictional characters known by one word, and objects that belong to one story."""


class PromptFilter:
    """Accepts each object once, over all categories.

    What it accepts depends on the order of the texts, and on nothing else.
    """

    def __init__(self, known: list[Prompt]) -> None:
        self._known = NameIndex(prompt.text for prompt in known)

    def judge(self, texts: list[str]) -> tuple[list[str], dict[str, list[str]]]:
        """The texts of one answer -> (accepted, reason -> rejected), each in the order of the answer.

        Accepted texts are in lower case and without articles, and are known from then on.
        """
        accepted: list[str] = []
        rejected: dict[str, list[str]] = {}
        styled = _is_capitalised(texts)
        for text in texts:
            named = _has_capital(text) and not styled
            cleaned = clean(text)
            reason = "proper_noun" if named else fault(cleaned) or self._repetition(cleaned)
            if reason:
                rejected.setdefault(reason, []).append(text[: 2 * MAX_LETTERS])
            else:
                accepted.append(cleaned)
                self._known.add(cleaned)
        return accepted, rejected

    def _repetition(self, text: str) -> str | None:
        if self._known.same(text):
            return "duplicate"
        return "near_duplicate" if self._known.near(text) else None


def clean(text: str) -> str:
    """The text in lower case with single spaces, without leading article and trailing full stop."""
    words = text.strip().rstrip(".").lower().split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ARTICLES else words)


def fault(text: str) -> str | None:
    """The reason why a cleaned text is not the name of one plain object; None when it is.

    Reasons: `too_short`, `too_long`, `not_words` (anything but letters, spaces and hyphens), `scene`, `brand`,
    `person`, `several_things`.
    """
    if len(text) < MIN_LETTERS:
        return "too_short"
    words = _WORD.findall(text)
    if len(text) > MAX_LETTERS or len(words) > MAX_WORDS:
        return "too_long"
    return _fault_of_words(words) if _SHAPE.fullmatch(text) else "not_words"


def _fault_of_words(words: list[str]) -> str | None:
    unique = set(words)
    if CONJUNCTIONS & unique:
        return "several_things"
    if words[-1] in SCENE_HEADS or (SCENE_ANYWHERE | RELATIONS) & unique:
        return "scene"
    if BRANDS & unique:
        return "brand"
    return "person" if PEOPLE & unique else None


def _has_capital(text: str) -> bool:
    return text != text.lower()


def _is_capitalised(texts: list[str]) -> bool:
    """True when most texts of an answer begin with a capital: then capitals are its style and do not mark names.

    The instructions ask for lower case, so a capital marks a proper name; small models write `Golden Retriever`.
    """
    return 2 * sum(text.strip()[:1].isupper() for text in texts) > len(texts)


def key_words(text: str) -> list[str]:
    """The words that identify an object: lower case, singular, no articles, `glass of wine` ordered as `wine glass`."""
    words = [word for word in re.split(r"[^a-z]+", text.lower()) if word and word not in ARTICLES]
    if "of" in words[1:-1]:
        place = words.index("of", 1)
        words = words[place + 1 :] + words[:place]
    return [_singular(word) for word in words]


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s") or word.endswith(_PLURAL_KEEPS):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if _ES.search(word):
        return word[:-2]
    return word[:-1]


class NameIndex:
    """Known prompts, searched for the first one that names the same object.

    Only spelling counts, no embedding is used: words are compared as sets, and the joined letters by the Dice
    coefficient of their trigrams, 2 |A & B| / (|A| + |B|), so that `tea pot` and `teapot` are the same.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._exact: dict[str, str] = {}
        self._sets: dict[frozenset[str], str] = {}
        self._known: list[tuple[str, int]] = []  # (text, number of its trigrams)
        self._holders: dict[str, list[int]] = {}  # trigram -> places in `_known`
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Add a prompt to those that are known."""
        words = key_words(text)
        self._exact.setdefault("".join(words), text)
        self._sets.setdefault(frozenset(words), text)
        trigrams = _trigrams("".join(words))
        for trigram in trigrams:
            self._holders.setdefault(trigram, []).append(len(self._known))
        self._known.append((text, len(trigrams)))

    def same(self, text: str) -> str | None:
        """The first known prompt with the same words in the same order; None when there is none."""
        return self._exact.get("".join(key_words(text)))

    def near(self, text: str) -> str | None:
        """The first known prompt with the same words in any order, or a similarity of at least `NEAR`; else None."""
        words = key_words(text)
        if found := self._sets.get(frozenset(words)):
            return found
        ours = _trigrams("".join(words))
        shared = Counter(place for trigram in ours for place in self._holders.get(trigram, ()))
        like = [place for place, num in shared.items() if 2 * num >= NEAR * (len(ours) + self._known[place][1])]
        return self._known[min(like)][0] if like else None


def _trigrams(word: str) -> frozenset[str]:
    """Trigrams of the padded word, so that its ends count and short words have some too."""
    padded = f"  {word} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))
