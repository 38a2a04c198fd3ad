"""Which language a text is in, told by its script and, where several languages share that, by their commonest words."""

import re
import unicodedata
from collections import Counter

SCRIPTS = {
    "HANGUL": "ko",
    "KANA": "ja",
    "CJK": "zh",
    "HEBREW": "he",
    "GREEK": "el",
    "THAI": "th",
    "BENGALI": "bn",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "TAMIL": "ta",
    "TELUGU": "te",
    "DEVANAGARI": "hi mr ne",
    "ARABIC": "ar fa ur",
    "CYRILLIC": "ru uk bg",
    "LATIN": "en es pt fr de it nl sv da pl cs ro fi vi sw tr id",
}
"""The languages of each script that can be told, by the first word of its letters' names; KANA has both kinds."""

COMMON = {
    "en": "the and of to is that it for with was are this you be on as have from they we not in a",
    "es": "el los las que y es en una por con para como más pero está del un se lo su no la de",
    "pt": "os as que e é em uma não por com para como mais mas são do da um se ao o de",
    "fr": "le les des et est une dans que pour qui pas sur avec ce il au du nous vous la de un",
    "de": "der die das und ist nicht ein eine zu mit den von auf für sie im dem auch es ich in",
    "it": "il lo gli che e è di un una per non con sono della più del si anche nel la in",
    "nl": "de het een en van is niet dat op te zijn met voor maar ook aan er ze in",
    "sv": "och att det är som en på för med inte av den till om har ett jag i",
    "da": "og at det er som en på for med ikke af den til om har et jeg i",
    "pl": "i w nie na się jest to z do że jak ale co przez są oraz dla po",
    "cs": "a je se v na že to s pro ale jako jsou který do si tak",
    "ro": "și în este nu care pentru cu din mai sau la un o de sunt că",
    "fi": "ja on ei se että hän oli mutta ovat joka kun niin myös tai ole voi",
    "vi": "và là của có không được cho một những trong với các người này đã để tôi bạn",
    "sw": "na ya wa kwa ni katika za la hii kama yake cha hiyo lakini au watu sana",
    "tr": "ve bir bu için ile çok olarak gibi daha ne da de en var",
    "id": "yang dan di untuk dengan ini itu tidak dari pada adalah ke akan dalam",
    "ar": "في من على أن إلى هذا هذه التي الذي هو هي ما كان عن مع لا أو كل",
    "fa": "و در به از که این را با است برای آن می یک هم تا خود شود",
    "ur": "کے میں کی ہے اور سے کا کو نے پر یہ ہیں کہ نہیں ایک بھی",
    "hi": "है के में की और का से को हैं यह पर ने कि नहीं एक भी लिए",
    "mr": "आहे आणि मी हे ते या होते आहेत नाही हा ही तो एक पण व",
    "ne": "छ र मा हो यो छन् गर्न पनि लागि भने यस थियो हुन्छ तर",
    "ru": "и в не на что с как это по но он из для мы вы а к от",
    "uk": "і в не на що з як це та до але для є у й ми від",
    "bg": "и в не на че с как това по но е за да се са от",
}
"""Words that each language uses all the time; some of them others have too."""

LEAST, SHARE = 2, 0.06
"""How many of a language's words, and which share of a text's, have to be its commonest ones for it to be told."""
_READ = 20_000


def is_in(text: str, language: str) -> bool | None:
    """Whether a text is in a language.

    Args:
        text: Any text; its first 20,000 characters are read.
        language: A code of two letters: en, fr, zh; also zh-CN.

    Returns:
        None where that cannot be told: too few words, no language that stands out, or one that is not in `SCRIPTS`.
    """
    wanted = re.split("[-_]", language.strip().lower())[0]
    script = _script_of(text[:_READ])
    own = next((name for name, languages in SCRIPTS.items() if wanted in languages.split()), None)
    if script is None or own is None:
        return None
    if script != own:
        return False
    rivals = SCRIPTS[script].split()
    if rivals == [wanted]:
        return True
    found = _by_words(text[:_READ], rivals)
    return None if found is None else found == wanted


def _script_of(text: str) -> str | None:
    """The script of most letters; Japanese and Korean have Chinese characters among their own."""
    counts = Counter(_script(sign) for sign in text if sign.isalpha())
    if not counts:
        return None
    counts["KANA"] = sum(counts.pop(name, 0) for name in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"))
    for name in ("KANA", "HANGUL"):
        if counts[name] * 4 > counts["CJK"]:
            counts[name] += counts.pop("CJK", 0)
    script, count = counts.most_common(1)[0]
    return script if count else None


def _script(sign: str) -> str:
    return "LATIN" if sign.isascii() else unicodedata.name(sign, "").split(" ")[0]


def _by_words(text: str, rivals: list[str]) -> str | None:
    """The language with most of its commonest words in a text; None where none stands out."""
    words = Counter(re.findall(r"[^\W\d_](?:[^\W\d_]|\u094d|[\u0900-\u0903\u093a-\u094c\u200c])*", text.lower()))
    hits = {name: sum(words[word] for word in COMMON[name].split()) for name in rivals}
    best, second = sorted(hits, key=lambda name: hits[name], reverse=True)[:2]
    total = sum(words.values())
    if hits[best] < max(LEAST, SHARE * total) or hits[best] == hits[second]:
        return None
    return best
