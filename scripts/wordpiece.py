"""What BERT's tokenizer does with every letter, as tables and as a test's golden files, taken from the reference:
pip install tokenizers==0.23.3; python scripts/wordpiece.py VOCAB.TXT
writes src/embed/wordpiece/letters.rs and tests/wordpiece/{letters,pieces,vocabulary}.txt.
VOCAB.TXT is that of all-MiniLM-L6-v2 (bert-base-uncased); of it only the pieces that the test's texts need are kept."""
import random
import sys
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

ROOT = Path(__file__).resolve().parent.parent
NORMALIZER = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
CUTTER = BertPreTokenizer()
COLUMNS = 120


def words(text):
    return [word for word, _ in CUTTER.pre_tokenize_str(NORMALIZER.normalize_str(text))]


def ranges(numbers):
    found = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def filled(items, indent="    "):
    lines, line = [], indent
    for item in items:
        if len(line) + len(item) > COLUMNS:
            lines.append(line.rstrip())
            line = indent
        line += item + " "
    return "\n".join(lines + [line.rstrip()])


def letters_rs(seen):
    removed, alone, folded, parts = [], [], {}, []
    for point, cut in seen.items():
        letter = chr(point)
        if cut == ["ab"]:
            removed.append(point)
            continue
        if cut == ["a", "b"]:
            continue
        is_alone = len(cut) == 3
        if is_alone and point >= 0x80:
            alone.append(point)
        to = "".join(cut)[1:-1]
        if 0xAC00 <= point < 0xD7A4 or to == letter or to == letter.lower():
            continue
        if len(to) == 1:
            folded[point] = to
        else:
            parts.append((point, to))
    removed = [point for point in removed if point >= 0x80]
    # Neighbours three apart share a run; what lies between stands for itself.
    runs = []
    for point in sorted(folded):
        if runs and point - runs[-1][1] <= 4 and point - runs[-1][0] < 64:
            between = [seen[other] for other in range(runs[-1][1] + 1, point)]
            if all(cut != ["a", "b"] and cut != ["ab"] and len("".join(cut)) == 3 for cut in between):
                runs[-1][2] += "".join("".join(cut)[1:-1] for cut in between) + folded[point]
                runs[-1][1] = point
                continue
        runs.append([point, point, folded[point]])
    pair = lambda found: f"({found[0]:#x}, {found[1]:#x}),"
    quoted = lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f'''//! What BERT's tokenizer does with letters beyond ASCII: made by scripts/wordpiece.py from the reference, not by hand.
//! It holds tables and nothing else.

/// Passed over: control characters, marks that combine, and what has no meaning in Unicode 8. First and last of each.
#[rustfmt::skip]
pub const REMOVED: &[(u32, u32)] = &[
{filled(map(pair, ranges(removed)))}
];

/// A word of its own each: punctuation, and Chinese characters. First and last of each.
#[rustfmt::skip]
pub const ALONE: &[(u32, u32)] = &[
{filled(map(pair, ranges(alone)))}
];

/// Without marks and in lower case, where that is another single letter than its lower case: the first letter of a run,
/// then what each of the run becomes.
#[rustfmt::skip]
pub const FOLDED: &[(u32, &str)] = &[
{filled(f"({first:#x}, {quoted(to)})," for first, _, to in runs)}
];

/// What becomes several letters.
#[rustfmt::skip]
pub const PARTS: &[(u32, &str)] = &[
{filled(f"({point:#x}, {quoted(to)})," for point, to in parts)}
];
'''


def kind_of(letter, cut):
    kinds = {f"a{letter}b": "kept", f"a {letter} b": "alone", "ab": "removed"}
    return kinds.get(" ".join(cut), letter)


def fnv(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


TEXTS = Path(ROOT / "tests/wordpiece/texts.txt")


def texts():
    """A text a line, with \\uXXXX and the like where an editor would spoil it."""
    lines = TEXTS.read_text().splitlines()
    return [(line, line.encode("latin-1", "backslashreplace").decode("unicode_escape")) for line in lines]


def pieces_of(vocabulary, text):
    model = WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer, tokenizer.pre_tokenizer = NORMALIZER, CUTTER
    return tokenizer.encode(text).tokens


def main():
    whole = Path(sys.argv[1]).read_text().splitlines()
    seen = {point: words(f"a{chr(point)}b") for point in range(0x110000) if not 0xD800 <= point < 0xE000}
    (ROOT / "src/embed/wordpiece/letters.rs").write_text(letters_rs(seen))

    # A line for each block of 256: what becomes of all of them if that is one thing, else a hash of what becomes of each.
    lines = []
    for block in range(0, 0x110000, 256):
        points = range(block, block + 256)
        kinds = {kind_of(chr(point), seen[point]) for point in points if point in seen}
        cuts = "\n".join(" ".join(seen.get(point, [])) for point in points)
        what = kinds.pop() if len(kinds) == 1 else f"{fnv(cuts):016x}"
        if lines and lines[-1][2] == what and len(what) < 16:
            lines[-1][1] = block + 255
        else:
            lines.append([block, block + 255, what])
    golden = "".join(f"{first:x} {last:x} {what}\n" for first, last, what in lines)
    (ROOT / "tests/wordpiece/letters.txt").write_text(golden)

    # Pieces that the texts are cut into, every letter alone and continued, and others to be led astray by.
    used = {piece for _, text in texts() for piece in pieces_of({piece: at for at, piece in enumerate(whole)}, text)}
    others = set(random.Random(5).sample([piece for piece in whole if piece.isascii()], 1500))
    short = [piece for piece in whole if piece in used or piece in others or (piece.isascii() and len(piece) in (1, 3))]
    short = [piece for piece in short if not piece.startswith("[unused")]
    (ROOT / "tests/wordpiece/vocabulary.txt").write_text("\n".join(short) + "\n")
    vocabulary = {piece: at for at, piece in enumerate(short)}
    lines = [f"{line}\t{' '.join(pieces_of(vocabulary, text))}" for line, text in texts()]
    (ROOT / "tests/wordpiece/pieces.txt").write_text("\n".join(lines) + "\n")


main()
